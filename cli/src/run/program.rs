//! The command, looked for before anything is claimed: whoever mistypes it is to be told at once, and not at the end of a
//! line.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::exit::{Failure, quoted};

/// Where `execvp` looks where nothing says.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// So much of a file the system reads to find the interpreter of a script.
const SCRIPT_HEAD_BYTES: u64 = 256;

/// Refuses a program that is not there, or that is no program, and a script whose interpreter is such.
pub(crate) fn check(program: &OsStr) -> Result<(), Failure> {
    if program.is_empty() {
        return Err(Failure::usage("the command is empty; nothing was claimed: give one after --"));
    }
    let shown = quoted(&program.to_string_lossy());
    if program.as_bytes().contains(&b'/') {
        return runnable(Path::new(program)).map_err(|why| wrong(&format!("{shown} {why}")));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH_DEFAULT));
    let mut found = env::split_paths(&path).map(|folder| folder.join(program)).filter(|file| file.exists());
    let Some(first) = found.next() else {
        let path = quoted(&path.to_string_lossy());
        return Err(wrong(&format!("{shown} is in no folder of PATH, which is {path}")));
    };
    if std::iter::once(first.clone()).chain(found).any(|file| runnable(&file).is_ok()) {
        return Ok(());
    }
    runnable(&first).map_err(|why| wrong(&format!("{} {why}", shown_path(&first))))
}

fn runnable(file: &Path) -> Result<(), String> {
    executable(file)?;
    let Some(interpreter) = interpreter(file) else { return Ok(()) };
    // Of a script without one, the system would say that the script itself is not there.
    executable(Path::new(&interpreter))
        .map_err(|why| format!("is a script for {}, which {why}", quoted(&interpreter.to_string_lossy())))
}

/// What a script's first line names to run it. A file that cannot be read may still be run.
fn interpreter(file: &Path) -> Option<OsString> {
    // Whoever opens a pipe waits for who writes into it.
    file.metadata().ok()?.is_file().then_some(())?;
    let mut head = Vec::new();
    File::open(file).ok()?.take(SCRIPT_HEAD_BYTES).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
    words.find(|word| !word.is_empty()).map(|word| OsStr::from_bytes(word).to_owned())
}

fn executable(file: &Path) -> Result<(), String> {
    match file.metadata() {
        Err(error) => Err(format!("is not there: {error}")),
        Ok(found) if found.is_dir() => Err("is a folder".to_owned()),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Err("is not executable".to_owned()),
        Ok(_) => Ok(()),
    }
}

fn shown_path(file: &Path) -> String {
    quoted(&file.as_os_str().to_string_lossy())
}

fn wrong(what: &str) -> Failure {
    Failure::usage(format!("the command {what}; nothing was claimed: correct it, or PATH"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::check;

    #[test]
    fn what_is_there_passes_and_what_is_not_is_named() {
        assert_eq!(check("sh".as_ref()), Ok(()));
        assert_eq!(check("/bin/sh".as_ref()), Ok(()));
        for (program, why) in [
            ("/no/such/program", "\"/no/such/program\" is not there"),
            ("no-such-program", "is in no folder of PATH"),
            ("/", "is a folder"),
            ("/etc/passwd", "is not executable"),
        ] {
            let failure = check(program.as_ref()).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
            assert!(failure.message.contains(why), "{failure}");
        }
    }

    #[test]
    fn a_script_passes_where_its_interpreter_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let check_script = |text: &str| {
            let file = folder.path().join("script");
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            check(file.as_ref())
        };
        for text in ["#!/bin/sh\n", "#! /bin/sh -e\n", "#!/bin/sh", "#!\n", "", "echo"] {
            assert_eq!(check_script(text), Ok(()), "{text:?}");
        }
        for (text, why) in [
            ("#!/no/such/sh -e\n", "is a script for \"/no/such/sh\", which is not there"),
            ("#!/bin/sh\r\n", "is a script for \"/bin/sh\\r\", which is not there"),
            ("#!/etc/passwd\n", "is a script for \"/etc/passwd\", which is not executable"),
        ] {
            let failure = check_script(text).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
            assert!(failure.message.contains(why), "{failure}");
        }
    }
}
