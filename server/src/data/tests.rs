//! What may be wrong with a data folder, a test each.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::Flags;
use crate::parsers;
use crate::parsers::edits::{edited_text, edits_of_text, within_bounds};

pub(super) fn config(data: &Path) -> Config {
    let flags = Flags { data: Some(data.to_owned()), allow_volatile_data: true, ..Flags::default() };
    Config::load(&flags).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything in a folder, to see that nothing was touched.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
}

#[test]
fn a_new_folder_is_private_and_keeps_its_identity() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("a/b");
    let data = Data::open(&config(&root)).unwrap();
    let made = data.identity();
    assert_eq!((made.member, made.begun), (1, false));
    for folder in [&root, &root.join("log"), &root.join("snapshots")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    assert_eq!(mode(&root.join("identity.toml")), 0o600);
    data.on_begun()().unwrap();
    drop(data);
    let again = Data::open(&config(&root)).unwrap().identity();
    assert_eq!(again, Identity { begun: true, ..made });
    let other = Data::open(&config(&parent.path().join("c"))).unwrap().identity();
    assert_ne!(other.cluster, made.cluster, "cluster ids are random");
}

#[test]
fn a_folder_that_others_may_read_is_refused_with_the_mode_wanted() {
    let parent = tempfile::tempdir().unwrap();
    for loose in [0o755, 0o750, 0o701] {
        let root = parent.path().join(format!("{loose:o}"));
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(loose)).unwrap();
        let error = Data::open(&config(&root)).unwrap_err().to_string();
        assert!(error.contains(&format!("has mode 0{loose:o}")) && error.contains("chmod 700"), "{error}");
        assert!(contents(&root).is_empty(), "nothing was made in it");
    }
}

#[test]
fn a_folder_with_files_of_others_is_not_taken_over() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("home");
    DirBuilder::new().mode(0o700).create(&root).unwrap();
    for name in ["d", "a", "c", "b"] {
        fs::write(root.join(name), "x").unwrap();
    }
    let before = contents(&root);
    let error = Data::open(&config(&root)).unwrap_err().to_string();
    assert!(
        error.contains("files that are no member's: \"a\", \"b\", \"c\", …; name an empty folder"),
        "{error}"
    );
    assert_eq!(contents(&root), before, "nothing was made in it");
    let disk = parent.path().join("disk");
    DirBuilder::new().mode(0o700).create(&disk).unwrap();
    fs::create_dir(disk.join("lost+found")).unwrap();
    Data::open(&config(&disk)).unwrap();
}

#[test]
fn what_is_no_folder_or_cannot_be_made_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Data::open(&config(&file)).unwrap_err().to_string();
    assert!(error.contains("is no folder"), "{error}");
    let error = Data::open(&config(&file.join("data"))).unwrap_err().to_string();
    assert!(error.contains("file/data: looking at it: Not a directory"), "{error}");
    let denied =
        DataError::io("making it", Path::new("/d"), io::ErrorKind::PermissionDenied.into()).to_string();
    assert!(denied.contains("/d: making it: permission denied") && denied.contains("mode 0700"), "{denied}");
}

#[test]
fn a_folder_in_use_names_the_pid_and_nothing_is_touched() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    let data = Data::open(&config(&root)).unwrap();
    let before = contents(&root);
    let error = Data::open(&config(&root)).unwrap_err().to_string();
    assert!(error.contains(&format!("the process with pid {}", std::process::id())), "{error}");
    assert_eq!(contents(&root), before);
    drop(data);
    Data::open(&config(&root)).unwrap();
}

#[test]
fn another_cluster_or_member_is_refused_with_both_ids() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    let ours = Data::open(&config(&root)).unwrap().identity();
    let wanted = Config { member: Some(2), ..config(&root) };
    let error = Data::open(&wanted).unwrap_err().to_string();
    let expected =
        format!("this is member 1 of cluster {:032x}, and the configuration says member 2 of", ours.cluster);
    assert!(error.contains(&expected), "{error}");
    let wanted = Config { cluster: Some(7), ..config(&root) };
    let error = Data::open(&wanted).unwrap_err().to_string();
    assert!(error.contains("says member 1 of cluster 00000000000000000000000000000007"), "{error}");
    assert!(Data::open(&Config { cluster: Some(ours.cluster), member: Some(1), ..config(&root) }).is_ok());
}

#[test]
fn a_cluster_that_has_a_name_is_not_begun_alone_by_an_empty_folder() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    let alone = Config { cluster: Some(7), member: Some(1), ..config(&root) };
    let one = Config { peer_voters: BTreeMap::from([(1, "a:7401".to_owned())]), ..alone.clone() };
    for config in [&alone, &one] {
        let error = Data::open(config).unwrap_err().to_string();
        assert!(error.contains("may not begin it anew") && error.contains("members invite"), "{error}");
        assert!(!root.join("identity.toml").exists());
    }
    let with_others = (1..=3).map(|id| (id, format!("m{id}:7401"))).collect();
    let founders = parent.path().join("founders");
    Data::open(&Config { peer_voters: with_others, data: founders, ..alone.clone() }).unwrap();
    // What `tenure init` leaves for the first start.
    fs::write(root.join("identity.toml"), founder(7, 1).unwrap()).unwrap();
    let identity = Data::open(&alone).unwrap().identity();
    assert_eq!(identity, Identity { cluster: 7, member: 1, begun: false, joined: false });
}

#[test]
fn a_newer_format_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    drop(Data::open(&config(&root)).unwrap());
    let newer = "format = 3\nanything = \"new\"\n";
    fs::write(root.join("identity.toml"), newer).unwrap();
    let error = Data::open(&config(&root)).unwrap_err().to_string();
    assert!(error.contains("has format 3, and this program reads up to 2"), "{error}");
    assert_eq!(fs::read_to_string(root.join("identity.toml")).unwrap(), newer);
}

#[test]
fn an_identity_that_is_damaged_or_lost_is_not_made_anew() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    drop(Data::open(&config(&root)).unwrap());
    let path = root.join("identity.toml");
    for damaged in
        ["", "format = 1", "format = 1\ncluster = \"12\"\nmember = 1\nbegun = false\n", "format = \"x\""]
    {
        fs::write(&path, damaged).unwrap();
        let error = Data::open(&config(&root)).unwrap_err().to_string();
        assert!(error.contains("identity.toml cannot be read"), "{error}");
    }
    fs::write(&path, b"\xff").unwrap();
    assert!(Data::open(&config(&root)).unwrap_err().to_string().contains("not UTF-8"));
    fs::remove_file(&path).unwrap();
    fs::write(root.join("log/segment"), "x").unwrap();
    let error = Data::open(&config(&root)).unwrap_err().to_string();
    assert!(error.contains("identity.toml is missing, and there is a log"), "{error}");
    assert!(!path.exists());
}

const JOINED: &str =
    "format = 2\ncluster = \"000102030405060708090a0b0c0d0e0f\"\nmember = 12\nbegun = false\njoined = true\n";

#[test]
fn an_identity_of_a_member_that_joined_says_so_to_its_end() {
    assert!(parsers::identity(JOINED));
    // Where it is cut, it would be that of a member that begins a cluster of its own.
    for length in 0..JOINED.len() - 1 {
        assert!(!parsers::identity(&JOINED[..length]), "{:?}", &JOINED[..length]);
    }
    assert!(!parsers::identity(&JOINED.replace("format = 2", "format = 1")));
    assert!(!parsers::identity(&JOINED.replace("\"00", "\"+0")), "Rust would read a sign too");
}

proptest! {
    #[test]
    fn an_identity_that_was_changed_is_one_or_refused(
        edits in edits_of_text(&["format", "=", "1", "2", "\n", "\"", "true", "false", "joined = true\n", "-", "+", "0x1"]),
        text in "\\PC{0,80}",
    ) {
        for text in [edited_text(JOINED, &edits), text] {
            within_bounds(text.len(), || parsers::identity(&text));
        }
    }
}

#[test]
fn what_init_has_left_is_put_aside_while_a_folder_is_filled_and_back_where_that_fails() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, Permissions::from_mode(0o700)).unwrap();
    let identity = root.join("identity.toml");
    fs::write(&identity, founder(7, 1).unwrap()).unwrap();
    let left = fs::read_to_string(&identity).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };

    let refused = NewData::make_of(&root, (7, 2), true).map(drop).unwrap_err();
    assert!(matches!(refused, DataError::NotEmpty { .. }), "it is another's: {refused}");
    assert_eq!(names(), ["identity.toml"]);

    // Ended in between, it is a folder that nobody begins a cluster from.
    let new = NewData::make_of(&root, (7, 1), true).unwrap();
    assert_eq!(names(), ["lock", "log", "snapshots"]);
    drop(new);
    assert_eq!(names(), ["identity.toml"]);
    assert_eq!(fs::read_to_string(&identity).unwrap(), left);

    NewData::make_of(&root, (7, 1), true).unwrap().keep(7, 1).unwrap();
    assert!(fs::read_to_string(&identity).unwrap().contains("begun = true"));
}
