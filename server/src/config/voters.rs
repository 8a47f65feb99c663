//! The first voters of a cluster: `1=a.example:7401,2=b.example:7401,3=10.0.0.3:7401`.

use std::collections::{BTreeMap, BTreeSet};

use replica::{VOTERS_MAX, is_address};

use super::value::Raw;

const FORM: &str = "ID=HOST:PORT for each, with commas between, such as \"1=a:7401,2=b:7401,3=c:7401\"";

/// Members by id, and where each is reached by the others.
pub(super) fn voters(raw: &Raw) -> Result<BTreeMap<u64, String>, String> {
    let words = raw.words().filter(|words| !words.is_empty()).ok_or_else(|| FORM.to_owned())?;
    let mut voters = BTreeMap::new();
    let mut addresses = BTreeSet::new();
    for word in words.split(',') {
        let wrong = || format!("{FORM}, and not {}", crate::service::Echo(word));
        let (id, address) = word.trim().split_once('=').ok_or_else(wrong)?;
        let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
        let id: u64 = id.parse().ok().filter(|id| is_number && *id > 0).ok_or_else(wrong)?;
        if !is_address(address) {
            return Err(wrong());
        }
        if !addresses.insert(address) {
            return Err(format!("each voter an address of its own: {address} is there twice"));
        }
        if voters.insert(id, address.to_owned()).is_some() {
            return Err(format!("each voter once: {id} is there twice"));
        }
    }
    match voters.len() {
        count if count > VOTERS_MAX => Err(format!(
            "at most {VOTERS_MAX} voters, and not {count}: what is asked waits for a majority of them, so that more make it slower"
        )),
        count if count % 2 == 0 => Err(format!(
            "an odd number of voters, and not {count}: they survive the loss of no more of them than {} do",
            count - 1
        )),
        _ => Ok(voters),
    }
}

/// Reads the first voters of a cluster, as they stand in the configuration.
///
/// # Errors
/// What is wanted instead.
pub fn parse_voters(words: &str) -> Result<BTreeMap<u64, String>, String> {
    voters(&Raw::Word(words.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{FORM, parse_voters as parse};

    #[test]
    fn voters_have_ids_and_hosts_by_name_or_address() {
        let found = parse("2=b.example:7401, 1=[::1]:7401,30=10.0.0.3:1").unwrap();
        let found: Vec<_> = found.iter().map(|(id, address)| (*id, address.as_str())).collect();
        assert_eq!(found, [(1, "[::1]:7401"), (2, "b.example:7401"), (30, "10.0.0.3:1")]);
        assert!(parse("1=localhost:7401").is_ok(), "one that is reached, for a cluster that is to grow");
    }

    #[test]
    fn what_is_no_voter_is_named() {
        let words = [
            "1",
            "1=a",
            "1=a:0",
            "1=a:70000",
            "0=a:1",
            "-1=a:1",
            "x=a:1",
            "1=:1",
            "1=a b:1",
            "1=::1:7401",
            "1=[::1:7401",
            "1=10.0.0.300:1",
            "1=-a:1",
        ];
        for word in words {
            let wanted = parse(&format!("7=z:1,{word}")).unwrap_err();
            assert!(wanted.starts_with(FORM) && wanted.contains(&format!("not {word:?}")), "{wanted}");
        }
        assert_eq!(parse(""), Err(FORM.to_owned()));
    }

    #[test]
    fn an_even_number_too_many_and_repetitions_are_refused_with_the_reason() {
        let cases = [
            (
                "1=a:1,2=b:1",
                "an odd number of voters, and not 2: they survive the loss of no more of them than 1 do",
            ),
            ("1=a:1,1=b:1,2=c:1", "each voter once: 1 is there twice"),
            ("1=a:1,2=a:1,3=c:1", "an address of its own: a:1 is there twice"),
            ("1=a:1,2=a:2,3=a:3,4=a:4,5=a:5,6=a:6,7=a:7,8=a:8,9=a:9", "at most 7 voters, and not 9"),
        ];
        for (words, expected) in cases {
            let wanted = parse(words).unwrap_err();
            assert!(wanted.contains(expected), "{wanted}");
        }
    }
}
