use lease::{Key, Name, Namespace};

use super::*;
use crate::handle::{Unavailable, Waited};

struct Still;

impl Clock for Still {
    fn now(&self) -> Mono {
        Mono(0)
    }
}

#[test]
fn a_wait_more_than_a_member_keeps_is_answered_overloaded() {
    let shared = Shared::new(Arc::new(Still), Table::new(0), Window::default());
    shared.state().waits.set_room(2);
    let told = Arc::new(Mutex::new(Vec::new()));
    let wait = || {
        let key = Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse("a").unwrap() };
        let told = Arc::clone(&told);
        let reply = move |waited| told.lock().unwrap().push(waited);
        shared.wait(key, Some(Revision(9)), Box::new(reply))
    };
    let first = wait();
    wait();
    assert!(told.lock().unwrap().is_empty());
    wait();
    let no = Waited::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER });
    assert_eq!(*told.lock().unwrap(), [no]);
    assert_eq!(shared.status().waits, 2);
    // There is room again.
    assert!(shared.cancel(first));
    wait();
    assert_eq!((shared.status().waits, told.lock().unwrap().len()), (2, 1));
}

#[test]
fn a_watch_more_than_a_member_keeps_is_answered_overloaded() {
    let shared = Shared::new(Arc::new(Still), Table::new(0), Window::default());
    shared.state().events.set_room(2);
    let told = Arc::new(Mutex::new(Vec::new()));
    let watch = || {
        let told = Arc::clone(&told);
        let watched = Watched::Prefix(Namespace::parse("n").unwrap(), String::new());
        let reply = move |begun| told.lock().unwrap().push(begun);
        shared.watch(watched, None, Arc::new(|| {}), Box::new(reply))
    };
    let first = watch();
    watch();
    assert!(told.lock().unwrap().is_empty());
    watch();
    let no = Unwatchable::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER });
    assert_eq!(*told.lock().unwrap(), [Err(no)]);
    // There is room again.
    shared.unwatch(first);
    watch();
    assert_eq!(told.lock().unwrap().len(), 1);
}
