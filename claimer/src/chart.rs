//! Line charts as SVG, for pages on light and on dark ground: the colours follow the reader's own.
//!
//! ```text
//!     title
//!     100 ┤                 ── plain     x is logarithmic, in decades;
//!         │          ●──────●            y is linear, from zero
//!      50 ┤   ●──────                    each point tells its values when it is pointed at
//!         │
//!       0 ┼───┬──────┬──────┬
//!            1k     10k   100k   leases
//! ```
//!
//! Small code of our own: a plotting library would bring fonts, or draw in colours that do not turn with the page.

use std::fmt::{self, Write};

/// The picture's size, and where in it the plane lies, in SVG's own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 616.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 304.0;
/// So many lines of the grid lie above zero at most.
const STEPS_MAX: f64 = 6.0;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What the reader is to see in it.
    pub title: String,
    /// What stands below the horizontal axis, which is logarithmic.
    pub x: String,
    /// What stands beside the vertical axis, with its unit.
    pub y: String,
    /// The lines, four at most have colours of their own.
    pub lines: Vec<Line>,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the legend calls it; nothing where there is one line alone.
    pub name: String,
    /// Its points, from the left to the right. What is not above zero in x has no place on the axis, and is left out.
    pub points: Vec<(f64, f64)>,
}

/// The chart as an SVG document.
impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plane = Plane::around(&self.lines);
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="13">"#
        )?;
        writeln!(f, "<title>{}</title>", escaped(&self.title))?;
        f.write_str(include_str!("chart/style.svg"))?;
        writeln!(f, r#"<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>"#)?;
        writeln!(
            f,
            r#"<text class="ink" x="{LEFT}" y="28" font-size="15" font-weight="600">{}</text>"#,
            escaped(&self.title)
        )?;
        self.across(&plane, f)?;
        self.up(&plane, f)?;
        for (number, line) in self.lines.iter().enumerate() {
            line.draw(number, &plane, f)?;
        }
        f.write_str("</svg>\n")
    }
}

impl Chart {
    /// The horizontal axis: a mark at each decade.
    fn across(&self, plane: &Plane, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, r#"<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>"#)?;
        for decade in plane.first..=plane.last {
            let value = 10f64.powi(decade);
            let x = plane.x(value);
            writeln!(f, r#"<path class="axis" d="M{x:.1} {BOTTOM}v5"/>"#)?;
            let y = BOTTOM + 20.0;
            writeln!(
                f,
                r#"<text class="faint" x="{x:.1}" y="{y}" text-anchor="middle">{}</text>"#,
                short(value)
            )?;
        }
        let (middle, y) = (f64::midpoint(LEFT, RIGHT), BOTTOM + 42.0);
        writeln!(
            f,
            r#"<text class="ink" x="{middle}" y="{y}" text-anchor="middle">{}</text>"#,
            escaped(&self.x)
        )
    }

    /// The vertical axis: a line at each step.
    fn up(&self, plane: &Plane, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in 0..=plane.steps {
            let value = f64::from(step) * plane.step;
            let y = plane.y(value);
            if step > 0 {
                writeln!(f, r#"<path class="grid" d="M{LEFT} {y:.1}H{RIGHT}"/>"#)?;
            }
            let (x, base) = (LEFT - 8.0, y + 4.5);
            writeln!(
                f,
                r#"<text class="faint" x="{x}" y="{base:.1}" text-anchor="end">{}</text>"#,
                short(value)
            )?;
        }
        let middle = f64::midpoint(TOP, BOTTOM);
        writeln!(
            f,
            r#"<text class="ink" transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">{}</text>"#,
            escaped(&self.y)
        )
    }
}

impl Line {
    fn draw(&self, number: usize, plane: &Plane, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colour = number % 4;
        let mut path = String::new();
        for (x, y) in self.drawn() {
            let start = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{start}{:.1} {:.1}", plane.x(x), plane.y(y))?;
        }
        writeln!(f, r#"<path class="line c{colour}" d="{path}"/>"#)?;
        for (x, y) in self.drawn() {
            let (cx, cy) = (plane.x(x), plane.y(y));
            writeln!(
                f,
                r#"<circle class="c{colour}" cx="{cx:.1}" cy="{cy:.1}" r="4"><title>{}: {}</title></circle>"#,
                short(x),
                short(y)
            )?;
        }
        if self.name.is_empty() {
            return Ok(());
        }
        let (x, y) = (LEFT + 130.0 * number as f64, TOP - 16.0);
        writeln!(f, r#"<path class="line c{colour}" d="M{x} {:.1}h22"/>"#, y - 4.5)?;
        writeln!(f, r#"<text class="ink" x="{}" y="{y}">{}</text>"#, x + 28.0, escaped(&self.name))
    }

    /// The points that have a place.
    fn drawn(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().copied().filter(|(x, y)| *x > 0.0 && y.is_finite())
    }
}

/// What the axes reach over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plane {
    /// Powers of ten.
    first: i32,
    last: i32,
    step: f64,
    steps: u32,
}

impl Plane {
    /// Whole decades, and whole steps from zero, that hold every point.
    fn around(lines: &[Line]) -> Plane {
        let points = || lines.iter().flat_map(Line::drawn);
        let least = points().map(|(x, _)| x).fold(f64::INFINITY, f64::min);
        let most = points().map(|(x, _)| x).fold(0.0, f64::max);
        let highest = points().map(|(_, y)| y).fold(0.0, f64::max);
        let (first, last) = match most > 0.0 {
            true => (least.log10().floor() as i32, most.log10().ceil() as i32),
            false => (0, 0),
        };
        let step = step_to(highest);
        let steps = (highest / step).ceil().max(1.0) as u32;
        Plane { first, last: last.max(first + 1), step, steps }
    }

    fn x(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        LEFT + part * (RIGHT - LEFT)
    }

    /// What is below zero lies on the axis.
    fn y(&self, value: f64) -> f64 {
        let part = value.max(0.0) / (self.step * f64::from(self.steps));
        BOTTOM - part * (BOTTOM - TOP)
    }
}

/// 1, 2 or 5 times a power of ten: the least of which few enough reach up to `highest`.
fn step_to(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let least = highest / STEPS_MAX;
    let decade = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|times| times * decade);
    steps.into_iter().find(|step| *step >= least).unwrap_or(10.0 * decade)
}

/// A number as an axis has room for it.
fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
