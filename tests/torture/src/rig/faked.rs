//! Proves, before any clock is faked, that a member would see it: a member whose clock runs at four times its rate must end
//! a lease in about a quarter of its time. Without that a run with faked clocks would show nothing.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::Trouble;
use super::command::run;
use super::member::{faked, in_namespace};
use super::net::CLIENTS;
use super::world::World;
use crate::clock;

const TTL_MS: u64 = 6_000;

/// Runs a member of its own, in the clients' namespace, on its loopback.
pub(crate) fn prove(world: &World) -> Result<(), Trouble> {
    let Some(library) = &world.setup.tools.faketime else { return Ok(()) };
    let namespace = world.network.namespace(CLIENTS);
    let data = world.setup.folder.join("faked");
    fs::create_dir_all(&data)?;
    let mut command = in_namespace(&namespace);
    command
        .arg("env")
        .arg(format!("LD_PRELOAD={}", library.display()))
        .arg(format!("FAKETIME={}", faked(4_000)));
    command
        .arg(&world.setup.tenure)
        .args(["serve", "--dev", "--listen", "127.0.0.1:7400", "--data"])
        .arg(data.join("data"));
    let _member = Ends(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let lasted = lasted(world, &namespace)?;
    println!("a lease of {TTL_MS} ms lasted {} ms at four times the rate", lasted / 1_000_000);
    // A quarter of it, and what starting two processes took; clearly not all of it.
    if lasted > 1_000_000 * TTL_MS * 3 / 4 {
        return Err(Trouble::Rig("libfaketime does not change a member's clock here".to_owned()));
    }
    Ok(())
}

/// How long a lease that nobody extends stands, in true time.
fn lasted(world: &World, namespace: &str) -> Result<u64, Trouble> {
    let ttl = format!("{TTL_MS}ms");
    let tenure = world.setup.tenure.to_string_lossy().into_owned();
    let within = ["nsenter".to_owned(), format!("--net=/run/netns/{namespace}"), tenure];
    let claim = ["claim", "faked", "--holder", "rig", "--ttl", &ttl];
    let mut tries = 0;
    loop {
        let from = clock::now();
        let words: Vec<&str> = within.iter().map(String::as_str).chain(claim).collect();
        match run(&words) {
            Ok(_) => {
                let words: Vec<&str> = within.iter().map(String::as_str).chain(["wait", "faked"]).collect();
                run(&words)?;
                return Ok(clock::now() - from);
            }
            Err(failed) if tries > 50 => return Err(failed.into()),
            Err(_) => tries += 1,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
