//! Juju's leases as text, against goldens; and a page at a time as all at once.

use lease::{GrantView, Holder, Instance, Key, LeaseView, Name, Namespace, Seq, Time, Token, Ttl};

use super::super::engine::tests::assert_golden;
use super::{LeasesPage, Wanted};

const A: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";
const B: &str = "f00dcafe-0000-4000-8000-0123456789ab";
const NOW: u64 = 100_000;

fn view(namespace: &str, name: &str, held: Option<(&str, u64, u64)>) -> LeaseView {
    let grant = held.map(|(holder, ttl, remaining)| GrantView {
        holder: Holder::parse(holder).unwrap(),
        instance: Instance(7),
        seq: Seq(1),
        token: Token::from_u64(1),
        ttl: Ttl::from_millis(ttl),
        deadline: at(NOW + remaining),
        confirmed: true,
        ending: None,
        heir: None,
        value: None,
    });
    let key = Key { namespace: Namespace::parse(namespace).unwrap(), name: Name::parse(name).unwrap() };
    LeaseView { key, grant, cooldown: None, pins: Vec::new(), last_end: None }
}

fn at(millis: u64) -> Time {
    Time::ZERO.after(Ttl::from_millis(millis))
}

/// A table's leases in the order of their keys, with what is none of Juju's between them.
fn table() -> Vec<LeaseView> {
    let models = |model: &str| format!("application-leadership:{model}");
    let controllers = |model: &str| format!("singular-controller:{model}");
    let mut views = vec![
        view("aaa", "mysql", Some(("x", 60_000, 1_000))),
        view("application-leadership:not-a-model", "mysql", Some(("x/0", 60_000, 1_000))),
        view(&models(A), "mysql", Some(("mysql/0", 60_000, 50_400))),
        view(&models(A), "no", Some(("no/12", 5_000, 5_000))),
        view(&models(A), "pinned-and-free", None),
        view(&models(B), "mysql", Some(("mysql/7", 300_000, 1_499))),
        view("default", "x", Some(("y", 60_000, 1_000))),
        view(&controllers(A), A, Some(("machine-0", 60_000, 59_700))),
        view("zzz", "x", Some(("y", 60_000, 1_000))),
    ];
    views.sort_by(|a, b| a.key.cmp(&b.key));
    views
}

/// The whole text, `page` leases at a time.
fn text(wanted: &Wanted, page: usize) -> String {
    let table = table();
    let mut all = LeasesPage::first(wanted.clone());
    let mut text = String::new();
    for _ in 0..100 {
        if all.is_done() {
            return text;
        }
        let after = all.after();
        let views: Vec<LeaseView> =
            table.iter().filter(|view| Some(&view.key) > after.as_ref()).take(page).cloned().collect();
        text += &all.take(&views, views.len() < page, at(NOW));
    }
    panic!("it has no end: {text}");
}

fn wanted(model: &str, apps: &[&str]) -> Wanted {
    Wanted { model: model.to_owned(), apps: apps.iter().map(|app| (*app).to_owned()).collect() }
}

#[test]
fn leases_are_told_in_jujus_words() {
    assert_golden("leases.yaml", &text(&Wanted::default(), 250));
}

#[test]
fn a_page_at_a_time_is_as_all_at_once() {
    for wanted in [Wanted::default(), wanted("8e6e", &[]), wanted("", &["sql"])] {
        let all = text(&wanted, 250);
        for page in 1..12 {
            assert_eq!(text(&wanted, page), all, "{page} at a time, {wanted:?}");
        }
    }
}

#[test]
fn parts_of_names_choose_and_an_application_hides_the_controllers() {
    let of_b = text(&wanted("cafe", &[]), 250);
    assert!(of_b.starts_with("model-leases:\n  f00dcafe"), "{of_b}");
    assert_eq!(of_b.matches("holder:").count(), 1, "{of_b}");
    let of_sql = text(&wanted("", &["sql", "nothing"]), 250);
    assert!(!of_sql.contains("controller-leases") && !of_sql.contains("no/12"), "{of_sql}");
    assert_eq!(of_sql.matches("holder:").count(), 2, "{of_sql}");
    assert_eq!(text(&wanted("", &["redis"]), 250), "{}\n", "nothing is an empty mapping, as Juju writes it");
}
