//! What a session has no room for leaves its line.

use lease::SESSION_WAITS_MAX;
use serde_json::{Value, json};

use super::*;
use crate::identity::{Audit, Doorkeeper, Principal, Source};
use crate::service::fake::Fake;

#[test]
fn what_a_session_has_no_room_for_is_written_down_where_it_is_a_change_and_no_extend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let keeper = Doorkeeper::new(7, false, Some(Audit::open(&path, u64::MAX).unwrap()));
    let fake = Arc::new(Fake::new());
    fake.fall_silent();
    let service = Arc::new(Service::new(Arc::clone(&fake) as _, 7, 1).behind(keeper));
    let unit = Principal::unit("mysql/0", "mine", Source::Certificate { until: 100 });
    let caller = Arc::new(service.doorkeeper.admit(Arc::new(unit), None));
    let outbox = Outbox::new();
    for id in 0..SESSION_WAITS_MAX as u64 {
        outbox.begin(id, Kind::Wait, None).unwrap();
    }
    let full = Kind::Command { steps: lease::SESSION_STEPS_MAX };
    outbox.begin(SESSION_WAITS_MAX as u64, full, None).unwrap();
    let now = Instant::now();
    let begin = |id: u64, call: Value| {
        let frame = json!({"id": id, "call": call}).to_string();
        let told = begin(&service, &caller, &outbox, &frame, now, &mut None);
        told.and_then(|frame| match frame {
            ServerFrame { reply: Some(Reply::Error(problem)), .. } => Some(problem.code),
            _ => None,
        })
    };
    let of = |name: &str| json!({"namespace": "mine", "name": name, "token": "5", "instance": "1"});
    let wanted = json!({"namespace": "mine", "name": "mysql", "holder": "mysql/0"});
    let id = 2 * SESSION_WAITS_MAX as u64;
    let crowded = [
        json!({"release": of("mysql/a")}),
        json!({"extend": of("mysql/b")}),
        json!({"bulk": [{"release": of("mysql/c")}, {"extend": of("mysql/d")}]}),
        json!({"acquire": wanted}),
        json!({"wait": {"namespace": "mine", "name": "mysql"}}),
    ];
    for call in crowded {
        assert_eq!(begin(id, call.clone()), Some(Code::Overloaded), "{call}");
    }
    // A number that is taken is another fault, and no refusal of what it asks for.
    assert_eq!(begin(0, json!({"release": of("mysql/e")})), Some(Code::BadRequest));
    drop((service, fake));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<[&str; 3]> = lines
        .iter()
        .map(|line| ["verb", "name", "outcome"].map(|field| line[field].as_str().unwrap()))
        .collect();
    let expected = [
        ["release", "mysql/a", "overloaded"],
        ["release", "mysql/c", "overloaded"],
        ["claim", "mysql", "overloaded"],
    ];
    assert_eq!(told, expected);
}
