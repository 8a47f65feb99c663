//! A client of the Juju door: blocking, and no more than a WebSocket and JSON.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{Node, connect};

pub const MODEL: &str = "a9b1c2d3-0000-4000-8000-00000000000a";
pub const OTHER_MODEL: &str = "a9b1c2d3-0000-4000-8000-00000000000b";
pub const CONTROLLER_PATH: &str = "/api";

pub struct Juju {
    pub socket: WebSocket<std::net::TcpStream>,
    next: u64,
}

/// The controller's UUID: the cluster's id.
pub fn controller(node: &Node) -> String {
    let welcome = node.session().ask(r#"{"id":1,"call":{"hello":{"version":1,"agent":"test"}}}"#);
    let id = welcome["reply"]["welcome"]["cluster"].as_str().unwrap();
    format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
}

pub fn model_path(model: &str) -> String {
    format!("/model/{model}/api")
}

impl Juju {
    pub fn open(node: &Node, path: &str) -> Juju {
        Juju::open_at(node.address(), path)
    }

    pub fn open_at(address: std::net::SocketAddr, path: &str) -> Juju {
        let url = format!("ws://{address}{path}");
        let (socket, _) = tungstenite::client::client(url, connect(address)).unwrap();
        Juju { socket, next: 0 }
    }

    /// Logged in to a model as `tag`.
    pub fn login(node: &Node, model: &str, tag: &str, password: &str) -> Juju {
        let mut juju = Juju::open(node, &model_path(model));
        let reply = juju.try_login(tag, password);
        assert!(reply["error"].is_null(), "{tag}: {reply}");
        juju
    }

    pub fn try_login(&mut self, tag: &str, password: &str) -> Value {
        self.call("Admin", 3, "Login", &json!({"auth-tag": tag, "credentials": password}))
    }

    /// Whether a WebSocket is opened there.
    pub fn is_served(node: &Node, path: &str) -> bool {
        let url = format!("ws://{}{path}", node.address());
        tungstenite::client::client(url, connect(node.address())).is_ok()
    }

    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// The next reply's text.
    pub fn next_text(&mut self) -> String {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("no reply: {other:?}"),
            }
        }
    }

    pub fn next(&mut self) -> Value {
        serde_json::from_str(&self.next_text()).unwrap()
    }

    /// Sends a request and gives its number.
    pub fn begin(&mut self, facade: &str, version: u64, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let request = json!({
            "request-id": self.next, "type": facade, "version": version, "request": method, "params": params,
        });
        self.send(&request.to_string());
        self.next
    }

    /// Sends a request whose reply is the next.
    pub fn call(&mut self, facade: &str, version: u64, method: &str, params: &Value) -> Value {
        let id = self.begin(facade, version, method, params);
        let reply = self.next();
        assert_eq!(reply["request-id"], id, "{reply}");
        assert!(reply["response"].is_object(), "there is always a response: {reply}");
        reply
    }

    pub fn ping(&mut self) {
        let reply = self.call("Pinger", 1, "Ping", &json!({}));
        assert_eq!(reply["response"], json!({}), "{reply}");
    }

    /// Claims the leadership of an application for a unit, and gives the item's error; null where it was granted.
    pub fn claim(&mut self, unit: &str, seconds: f64) -> Value {
        let reply = self.call("LeadershipService", 2, "ClaimLeadership", &claim_params(unit, seconds));
        assert!(reply["error"].is_null(), "{reply}");
        reply["response"]["results"][0]["error"].clone()
    }

    /// Waits until nobody leads the application; the reply comes later.
    pub fn block(&mut self, application: &str) -> u64 {
        self.begin("LeadershipService", 2, "BlockUntilLeadershipReleased", &json!({"Name": application}))
    }

    /// Replies until the server closes, and its close code.
    pub fn rest(mut self) -> (Vec<Value>, Option<u16>) {
        let mut replies = Vec::new();
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => replies.push(serde_json::from_str(text.as_str()).unwrap()),
                Ok(Message::Close(close)) => return (replies, close.map(|close| close.code.into())),
                Ok(_) => {}
                Err(_) => return (replies, None),
            }
        }
    }
}

pub fn claim_params(unit: &str, seconds: f64) -> Value {
    let application = unit.split('/').next().unwrap();
    json!({"params": [{
        "application-tag": format!("application-{application}"),
        "unit-tag": format!("unit-{}", unit.replace('/', "-")),
        "duration": seconds,
    }]})
}
