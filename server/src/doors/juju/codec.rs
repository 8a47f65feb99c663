//! Requests and replies as Juju's clients write and read them: one JSON object a text frame, in either of two spellings.
//!
//! ```text
//!  ▶ {"request-id":1,"type":"Pinger","version":1,"request":"Ping","params":{}}      ▶ {"RequestId":1,"Type":"Pinger",…}
//!  ◀ {"request-id":1,"response":{}}                                                ◀ {"RequestId":1,"Response":{}}
//!  ◀ {"request-id":2,"error":"…","error-code":"…","response":{}}                   ◀ {"RequestId":2,"Error":"…",…}
//! ```
//!
//! A reply is spelt as its request was; one without a lower-case `request-id` is of the old spelling. `response` is there also beside an
//! error, for python-libjuju indexes it. Names of fields are read in any case, as Go reads them, and unknown ones are left aside.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::errors::{Answer, Error};
use crate::service::clean;

/// How a request's fields are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `request-id`.
    Dashes,
    /// `RequestId`.
    Camels,
}

/// What a client asks. It may hold a password, so nothing shows it.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) spelling: Spelling,
    pub(super) facade: String,
    pub(super) version: u64,
    pub(super) method: String,
    pub(super) params: Value,
}

/// The text is no request, nor a reply: nothing that follows it on its connection can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a frame; none where it is a reply, which nobody here has asked for.
pub(super) fn read(text: &str) -> Result<Option<Request>, Malformed> {
    let mut value: Value = serde_json::from_str(text).map_err(|_| Malformed)?;
    lower(&mut value);
    let Value::Object(mut fields) = value else { return Err(Malformed) };
    let dashed = number(&mut fields, "request-id")?;
    let spelling = if dashed > 0 { Spelling::Dashes } else { Spelling::Camels };
    let id = if dashed > 0 { dashed } else { number(&mut fields, "requestid")? };
    let (facade, method) = (word(&mut fields, "type")?, word(&mut fields, "request")?);
    if facade.is_empty() && method.is_empty() {
        return Ok(None);
    }
    let version = number(&mut fields, "version")?;
    let params = fields.remove("params").unwrap_or_default();
    Ok(Some(Request { id, spelling, facade, version, method, params }))
}

/// The names of all fields in small letters, at any depth that the parser lets in; without those that are null, which Go leaves as they
/// were.
fn lower(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let given = std::mem::take(fields).into_iter().filter(|(_, value)| !value.is_null());
            fields.extend(given.map(|(name, mut value)| {
                lower(&mut value);
                (name.to_ascii_lowercase(), value)
            }));
        }
        Value::Array(items) => items.iter_mut().for_each(lower),
        _ => {}
    }
}

fn number(fields: &mut Map<String, Value>, name: &str) -> Result<u64, Malformed> {
    match fields.remove(name) {
        None => Ok(0),
        Some(value) => value.as_u64().ok_or(Malformed),
    }
}

fn word(fields: &mut Map<String, Value>, name: &str) -> Result<String, Malformed> {
    match fields.remove(name) {
        None => Ok(String::new()),
        Some(Value::String(word)) => Ok(word),
        Some(_) => Err(Malformed),
    }
}

impl Request {
    /// What its method takes. Left out, or null, they count as empty.
    pub(super) fn params<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let params = match std::mem::take(&mut self.params) {
            Value::Null => Value::Object(Map::new()),
            params => params,
        };
        serde_json::from_value(params)
            .map_err(|why| Error::plain(format!("the params cannot be read: {}", clean(&why.to_string()))))
    }
}

#[derive(Serialize)]
struct Dashed<'a> {
    #[serde(rename = "request-id")]
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(rename = "error-code", skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    response: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Camel<'a> {
    request_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    response: &'a Value,
}

/// What must hold of a request's text, whatever it is, as `crate::parsers` has it: whether it is one.
#[cfg(any(test, feature = "parsers"))]
pub(super) fn check(text: &str) -> bool {
    let Ok(Some(request)) = read(text) else { return false };
    let (id, kind) = match request.spelling {
        Spelling::Dashes => ("request-id", "type"),
        Spelling::Camels => ("RequestId", "Type"),
    };
    let again = serde_json::json!({
        id: request.id, kind: request.facade, "version": request.version, "request": request.method,
    });
    // Numbers with a fraction may lose their last bit on the way.
    let request = Request { params: Value::Null, ..request };
    assert!(read(&again.to_string()) == Ok(Some(request.clone())), "it is read as another");
    for text in [&request.facade, &request.method] {
        let tag = super::tags::Tag::parse(text);
        assert!(tag.is_none_or(|tag| tag.to_string() == *text), "{text:?} is another tag");
    }
    true
}

/// Writes the reply to request `id`.
pub(super) fn write(id: u64, spelling: Spelling, answer: &Answer) -> String {
    let nothing = Value::Object(Map::new());
    let (response, error) = match answer {
        Ok(response) => (response, None),
        Err(error) => (&nothing, Some(error)),
    };
    let (message, code) = (error.map(|error| error.message.as_str()), error.map(|error| error.code));
    let code = code.filter(|code| !code.is_empty());
    let written = match spelling {
        Spelling::Dashes => serde_json::to_string(&Dashed { id, error: message, code, response }),
        Spelling::Camels => {
            serde_json::to_string(&Camel { request_id: id, error: message, error_code: code, response })
        }
    };
    written.unwrap_or_else(|error| {
        debug_assert!(false, "a reply is always JSON: {error}");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn either_spelling_is_read_and_answered_in_kind() {
        let dashes = read(
            r#"{"request-id":7,"type":"A","version":3,"id":"","request":"B","params":{"Name":"x","none":null},"more":1}"#,
        );
        let camels =
            read(r#"{"RequestId":7,"Type":"A","Version":3,"Id":"","Request":"B","Params":{"nAmE":"x"}}"#);
        let (dashes, camels) = (dashes.unwrap().unwrap(), camels.unwrap().unwrap());
        assert_eq!((dashes.id, dashes.spelling, camels.spelling), (7, Spelling::Dashes, Spelling::Camels));
        assert_eq!(Request { spelling: Spelling::Dashes, ..camels }, dashes);
        assert_eq!(dashes.params, json!({"name": "x"}), "names of fields are read in any case");
        let (good, bad) = (Ok(json!({"a": 1})), Err(Error::new("no", "code")));
        assert_eq!(write(7, Spelling::Dashes, &good), r#"{"request-id":7,"response":{"a":1}}"#);
        assert_eq!(write(7, Spelling::Camels, &good), r#"{"RequestId":7,"Response":{"a":1}}"#);
        let dashed = r#"{"request-id":7,"error":"no","error-code":"code","response":{}}"#;
        assert_eq!(write(7, Spelling::Dashes, &bad), dashed);
        let camel = r#"{"RequestId":7,"Error":"no","ErrorCode":"code","Response":{}}"#;
        assert_eq!(write(7, Spelling::Camels, &bad), camel);
        let codeless = r#"{"request-id":7,"error":"no","response":{}}"#;
        assert_eq!(write(7, Spelling::Dashes, &Err(Error::plain("no"))), codeless);
    }

    #[test]
    fn a_reply_is_none_and_what_is_neither_is_malformed() {
        assert_eq!(read(r#"{"request-id":1,"response":{}}"#), Ok(None));
        let deep = format!("{{\"type\":\"A\",\"params\":{}", "[".repeat(100_000));
        for text in
            ["", "{", "[]", "7", r#"{"request-id":-1}"#, r#"{"request-id":"1"}"#, r#"{"type":1}"#, &deep]
        {
            assert_eq!(read(text), Err(Malformed), "{}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn params_that_are_left_out_are_empty_and_wrong_ones_say_why() {
        let mut request = read(r#"{"request-id":1,"type":"A","request":"B"}"#).unwrap().unwrap();
        assert_eq!(request.params::<Map<String, Value>>(), Ok(Map::new()));
        let mut request = read(r#"{"request-id":1,"type":"A","request":"B","params":"x"}"#).unwrap().unwrap();
        let error = request.params::<Map<String, Value>>().unwrap_err();
        assert!(error.message.starts_with("the params cannot be read: invalid type"), "{error:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}|\\{\"[a-z-]{0,12}\":[0-9a-z\"{}\\[\\]:,-]{0,60}\\}") {
            check(&text);
        }
    }
}
