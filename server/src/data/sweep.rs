//! A member's own files, damaged at every byte. It is refused by name; or it is the same member still; or it is said to be another,
//! and then the log says whose it is. The log and the snapshots are swept where they are written, in replica.

use std::sync::Arc;
use std::sync::mpsc::channel;

use replica::log::{self, Disk, Folder, Log, OpenError, Options, Record, Recovered, Vote};

use super::tests::config;
use super::*;

/// A folder of a member that has run: with a log in which it has voted.
fn voted(root: &Path) -> Identity {
    let data = Data::open(&config(root)).unwrap();
    let (disk, identity, options) = log_of(&data);
    let (_, writer) = log::open(disk, identity, options).unwrap();
    let log = Log::start(writer, Box::new(|error| panic!("{error}"))).unwrap();
    let (told, done) = channel();
    let vote = Vote { term: 3, node: 1, committed: false };
    log.append(vec![Record::Vote(vote)], Box::new(move |result| told.send(result).unwrap()));
    done.recv().unwrap().unwrap();
    log.stop();
    data.on_begun()().unwrap();
    Identity { begun: true, ..data.identity() }
}

/// Where the log is, whose it is, and what a start asks of it.
fn log_of(data: &Data) -> (Arc<dyn Disk>, log::Identity, Options) {
    let Identity { cluster, member, begun, .. } = data.identity();
    let expect = if begun { log::Expect::Log } else { log::Expect::Any };
    let options = Options { segment_bytes: 4096, expect, ..Options::default() };
    let disk = Arc::new(Folder::open(&data.log()).unwrap());
    (disk, log::Identity { cluster, node: member, group: 0 }, options)
}

fn read_log(data: &Data) -> Result<Recovered, OpenError> {
    let (disk, identity, options) = log_of(data);
    log::read(disk, identity, options)
}

/// Whether a start is refused: by the folder, which then names the file; or by the log, which then names both members.
fn is_refused(root: &Path, name: &str, truth: Identity, what: &str) -> bool {
    let data = match Data::open(&config(root)) {
        Ok(data) => data,
        Err(error) => {
            assert!(error.to_string().contains(root.join(name).to_str().unwrap()), "{what}: {error}");
            return true;
        }
    };
    let found = data.identity();
    assert_eq!((found.begun, found.joined), (truth.begun, truth.joined), "{what}: whether it has a past");
    let Err(error) = read_log(&data) else {
        assert_eq!(found, truth, "{what}");
        return false;
    };
    assert!(matches!(error, OpenError::NotOurs { .. }), "{what}: {error}");
    let (error, cluster) = (error.to_string(), |of: Identity| format!("{:032x}", of.cluster));
    assert!(error.contains(&cluster(found)) && error.contains(&cluster(truth)), "{what}: {error}");
    true
}

#[test]
fn every_byte_of_an_identity_and_a_lock_is_refused_by_name_or_harmless() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    let truth = voted(&root);
    for name in ["identity.toml", "lock"] {
        let bytes = fs::read(root.join(name)).unwrap();
        let mut refused = 0;
        for at in 0..bytes.len() {
            let flipped = [1, 16, 0xff].map(|bits| {
                let mut flipped = bytes.clone();
                flipped[at] ^= bits;
                flipped
            });
            for damaged in flipped.iter().chain([&bytes[..at].to_vec()]) {
                fs::write(root.join(name), damaged).unwrap();
                let what = format!("{name} byte {at}: {:?}", String::from_utf8_lossy(damaged));
                refused += usize::from(is_refused(&root, name, truth, &what));
            }
        }
        fs::write(root.join(name), &bytes).unwrap();
        println!("{name}: {refused} of {} are refused", 4 * bytes.len());
        assert_eq!(refused > 2 * bytes.len(), name == "identity.toml", "{refused} of {}", 4 * bytes.len());
    }
    assert!(!is_refused(&root, "identity.toml", truth, "as it is"));
}

#[test]
fn each_of_them_missing_or_older_is_refused_by_name_or_harmless() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    drop(Data::open(&config(&root)).unwrap());
    let older = fs::read(root.join("identity.toml")).unwrap();
    let truth = voted(&root);
    // From before it had run: the log is there all the same, and is opened.
    fs::write(root.join("identity.toml"), older).unwrap();
    let data = Data::open(&config(&root)).unwrap();
    assert_eq!(data.identity(), Identity { begun: false, ..truth });
    assert!(read_log(&data).is_ok());
    drop(data);
    fs::remove_file(root.join("lock")).unwrap();
    assert!(Data::open(&config(&root)).is_ok());
    fs::remove_file(root.join("identity.toml")).unwrap();
    assert!(is_refused(&root, "identity.toml", truth, "without it"));
}
