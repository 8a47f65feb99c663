use super::*;

fn chart(points: &[(f64, f64)]) -> Chart {
    let line = |name: &str| Line { name: name.to_owned(), points: points.to_vec() };
    Chart {
        title: "a < b & c".to_owned(),
        x: "leases".to_owned(),
        y: "ms".to_owned(),
        lines: vec![line("plain"), line("TLS")],
    }
}

#[test]
fn axes_hold_every_point_in_whole_decades_and_whole_steps() {
    let lines = chart(&[(1_000.0, 3.0), (15_000.0, 17.5)]).lines;
    assert_eq!(Plane::around(&lines), Plane { first: 3, last: 5, step: 5.0, steps: 4 });
    let lines = chart(&[(1_000.0, 572.0)]).lines;
    assert_eq!(Plane::around(&lines), Plane { first: 3, last: 4, step: 100.0, steps: 6 });
    assert_eq!(Plane::around(&[]), Plane { first: 0, last: 1, step: 1.0, steps: 1 });
}

#[test]
fn corners_of_the_plane_are_where_the_axes_meet() {
    let plane = Plane { first: 3, last: 6, step: 10.0, steps: 5 };
    assert_eq!((plane.x(1e3), plane.y(0.0)), (LEFT, BOTTOM));
    assert_eq!((plane.x(1e6), plane.y(50.0)), (RIGHT, TOP));
    assert_eq!(plane.y(-3.0), BOTTOM, "below zero there is no room");
}

#[test]
fn numbers_on_an_axis_are_short() {
    let texts = [0.0, 0.25, 20.0, 1_000.0, 2_500.0, 100_000.0, 1e6].map(short);
    assert_eq!(texts, ["0", "0.25", "20", "1k", "2.5k", "100k", "1M"]);
}

#[test]
fn text_is_escaped_and_each_point_and_line_is_drawn() {
    let svg = chart(&[(0.0, 1.0), (1_000.0, 2.0), (10_000.0, f64::NAN), (100_000.0, 4.0)]).to_string();
    assert!(svg.contains("<title>a &lt; b &amp; c</title>"), "{svg}");
    assert_eq!(svg.matches("<circle").count(), 4, "what has no place is left out: {svg}");
    assert_eq!(svg.matches(">plain<").count() + svg.matches(">TLS<").count(), 2, "{svg}");
    assert!(svg.contains("prefers-color-scheme: dark") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}
