//! A member that asks who comes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use server::{Config, Flags, Secret, Server};

use super::{Answer, Session, answer, connect, until};

/// A member that asks who comes, its first operator's token, and what it writes down.
pub struct Guarded {
    pub server: Option<Server>,
    pub folder: tempfile::TempDir,
    pub admin: String,
}

impl Guarded {
    pub fn start() -> Guarded {
        Guarded::start_with("")
    }

    /// The same, whose configuration says this too.
    pub fn start_with(more: &str) -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::draw();
        let first = format!("{}-{}-admin", secret.id(), secret.hash_hex());
        let file = folder.path().join("tenure.toml");
        let text = format!(
            "data = \"data\"\nlisten = \"127.0.0.1:0\"\nallow_volatile_data = true\n\
             [auth]\nfirst_token = \"{first}\"\n[audit]\nfile = \"audit.jsonl\"\n{more}"
        );
        fs::write(&file, text).unwrap();
        let config = Config::load(&Flags { config: Some(file), ..Flags::default() }).unwrap();
        let server = Some(Server::start(&config).unwrap());
        let guarded = Guarded { server, folder, admin: secret.reveal() };
        until("the first token is good", || guarded.get(Some(&guarded.admin), "/v1/tokens").status == 200);
        guarded
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn request(&self, token: Option<&str>, line: &str, body: Option<&str>) -> String {
        let bearer = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        let body = body.unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let mut stream = connect(self.server().address());
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // A stream of events has no end: its head says whether it began.
        while !bytes.windows(17).any(|word| word == b"text/event-stream") {
            let mut some = [0; 4_096];
            match stream.read(&mut some).unwrap() {
                0 => break,
                read => bytes.extend_from_slice(&some[..read]),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn get(&self, token: Option<&str>, path: &str) -> Answer {
        answer(&self.request(token, &format!("GET {path}"), None))
    }

    pub fn post(&self, token: Option<&str>, path: &str, body: &Value) -> Answer {
        answer(&self.request(token, &format!("POST {path}"), Some(&body.to_string())))
    }

    pub fn session(&self, token: &str) -> Session {
        use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client};
        let address = self.server().address();
        let mut request = format!("ws://{address}/v1/session").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        Session(client(request, connect(address)).unwrap().0)
    }

    /// A new token of this principal, made by the first operator.
    pub fn token(&self, principal: &str, role: &str, more: &Value) -> (String, String) {
        let secret = Secret::draw();
        let mut create = json!({
            "id": secret.id().to_string(), "hash": secret.hash_hex(), "principal": principal, "role": role,
        });
        for (field, value) in more.as_object().unwrap() {
            create[field] = value.clone();
        }
        let made = self.post(Some(&self.admin), "/v1/tokens", &json!({"change": {"create": create}}));
        assert_eq!(made.status, 200, "{made:?}");
        (secret.id().to_string(), secret.reveal())
    }

    /// A request whose answer is not read yet.
    pub fn begin(&self, token: &str, line: &str) -> TcpStream {
        self.begin_with(token, &format!("{line} HTTP/1.1"))
    }

    /// The same, with more in its head, and perhaps with a body to come.
    pub fn begin_with(&self, token: &str, head: &str) -> TcpStream {
        let mut stream = connect(self.server().address());
        let more = format!("host: localhost\r\nconnection: close\r\nauthorization: Bearer {token}");
        stream.write_all(format!("{head}\r\n{more}\r\n\r\n").as_bytes()).unwrap();
        stream
    }

    pub fn revoke(&self, id: &str) {
        let done = self.post(Some(&self.admin), "/v1/tokens", &json!({"change": {"revoke": {"id": id}}}));
        assert_eq!(done.status, 200, "{done:?}");
    }

    pub fn claim(&self, token: &str, namespace: &str, name: &str, holder: &str) -> Answer {
        let body =
            json!({"namespace": namespace, "name": name, "holder": holder, "instance": "7", "seq": "1"});
        self.post(Some(token), "/v1/claim", &body)
    }

    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn audited(&self, what: &str, is_it: impl Fn(&Value) -> bool) {
        until(what, || self.audit().iter().any(&is_it));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}
