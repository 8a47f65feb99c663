//! The command, looked for before anything is claimed: whoever mistypes it is to be told at once, and not at the end of a
//! line.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::exit::{Failure, quoted};

/// Where `execvp` looks where nothing says.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// Refuses a program that is not there, or that is no program.
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
}
