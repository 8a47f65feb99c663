//! What crosses the network between Tenure's clients and servers: calls, replies, pushes and problems.
//!
//! The same words serve both doors. Over HTTP a call is a request to a path under `/v1` whose body (or query) is one
//! of the structs in `call`, and the answer is one of the structs in `reply`, or `{"error": Problem}` with the
//! status of its [`Code`]. On a session WebSocket (`/v1/session`) each text frame is one JSON object:
//!
//! ```text
//! to the server    {"id":7,"call":{"claim":{"name":"db/primary","holder":"h1","ttl_ms":15000}}}
//! to the client    {"id":7,"reply":{"granted":{"token":"41",…}}}
//!                  {"id":8,"reply":{"error":{"code":"held",…}}}
//!                  {"push":{"going":{"why":"draining",…}}}
//! ```
//!
//! Rules:
//! * A token, and any u64, is a decimal string: JSON numbers lose digits above 2^53.
//! * A duration is a whole number of milliseconds, in a field named `…_ms`.
//! * An unknown field is refused, with its name: a misspelt option must not pass silently.
//! * Replies come in any order; `id` says which call each one answers.
//! * There is no logic here: names are checked and times computed in the server.

mod call;
mod decimal;
mod frame;
mod juju;
mod members;
mod namespaces;
mod problem;
mod reply;
mod span;
mod tokens;
mod yaml;

pub use call::*;
pub use frame::*;
pub use juju::*;
pub use lease as rules;
pub use members::*;
pub use namespaces::*;
pub use problem::*;
pub use reply::*;
pub use span::Span;
pub use tokens::*;
pub use yaml::YamlText;

/// The version of the API that this crate speaks: the `/v1` of every path.
pub const VERSION: u32 = 1;

// A macro, for a text is put together from literals alone.
macro_rules! port {
    () => {
        7400
    };
}

/// The client port where none is named.
pub const PORT_DEFAULT: u16 = port!();

/// Where a server listens and a client looks, where none is told.
pub const ADDRESS_DEFAULT: &str = concat!("127.0.0.1:", port!());

/// The namespace of a call that names none.
pub const NAMESPACE_DEFAULT: &str = "default";

fn namespace_default() -> String {
    NAMESPACE_DEFAULT.to_owned()
}
