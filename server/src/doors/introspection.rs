//! What operators of Juju's controllers ask for, at the paths that they know, with the words that they are answered.
//!
//! The same is at `/introspection/…`, where Juju's own API server has it. Who may do it is asked of the one rule: the engine report is
//! the cluster's, the leases are every namespace's, and a lease is revoked as any operator's revoke is, at once: its holder may believe
//! in it for as long as it had left, as in Juju.

use std::convert::Infallible;

use api::{Call, Code, ErrorBody, Get, JujuNamespace, Problem, Reply, is_model_uuid};
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use lease::LEASES_APPS_MAX;

use super::Doors;
use super::http::asked;
use super::identify::Asking;
use super::reply::problem;
use crate::identity::{Scope, Verb};
use crate::introspection::{Engine, LeasesPage, Wanted};
use crate::service::clean;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NUMBERS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// Why a lease was revoked, in its history.
const WHY: &str = "revoked over /leases/revoke";
/// How long a revoke may take, as Juju waits for it.
const REVOKED_WITHIN_MS: u64 = 15_000;

/// How the workers of this member are: Juju's engine report, YAML behind a line of title.
#[utoipa::path(
    get, path = "/depengine", tag = "member",
    responses(
        (status = 200, description = "The report", content_type = "text/plain"),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn depengine(State(doors): State<Doors>, asking: Asking) -> Response {
    if let Err(error) = asking.service.permit(&asking.caller, Verb::Members, Scope::Cluster) {
        return problem(error);
    }
    let api_server = doors.juju.as_ref().map(|hall| hall.report()).unwrap_or_default();
    let engine = Engine { api_server, ..asking.service.engine() };
    ([(header::CONTENT_TYPE, TEXT)], engine.to_string()).into_response()
}

/// How this member is, as numbers for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "member",
    responses(
        (status = 200, description = "The numbers", content_type = "text/plain"),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn metrics(State(doors): State<Doors>, asking: Asking) -> Response {
    if let Err(error) = asking.service.permit(&asking.caller, Verb::Members, Scope::Cluster) {
        return problem(error);
    }
    let logins = doors.juju.as_ref().map(|hall| hall.logins());
    let metrics = asking.service.metrics(logins).to_string();
    ([(header::CONTENT_TYPE, NUMBERS)], metrics).into_response()
}

/// Who holds what of Juju's leases, as this member has them: YAML.
#[utoipa::path(
    get, path = "/leases", tag = "member",
    params(
        ("model" = Option<String>, Query, description = "Only models whose uuid has this in it"),
        ("app" = Option<Vec<String>>, Query, description = "Only applications whose name has one of these in it, at most 64 of them; then no controllers' leases"),
    ),
    responses(
        (status = 200, description = "The leases", content_type = "text/plain"),
        (status = 400, description = "`bad_request`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn leases(asking: Asking, uri: Uri) -> Response {
    if let Err(error) = asking.service.permit(&asking.caller, Verb::List, Scope::Namespace(None)) {
        return problem(error);
    }
    let wanted = match wanted(&uri) {
        Ok(wanted) => wanted,
        Err(error) => return problem(error),
    };
    let page = LeasesPage::first(wanted);
    // A part at a time: the client's reading sets the pace, however many leases there are.
    let text = stream::unfold(page, move |mut page| {
        let text = (!page.is_done()).then(|| asking.service.leases_page(&mut page));
        async move { text.map(|text| (Ok::<_, Infallible>(Bytes::from(text)), page)) }
    });
    ([(header::CONTENT_TYPE, TEXT)], Body::from_stream(text)).into_response()
}

fn wanted(uri: &Uri) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::default();
    for (field, value) in pairs(uri)? {
        match field.as_str() {
            "model" => wanted.model = value,
            "app" if wanted.apps.len() == LEASES_APPS_MAX => {
                let message = format!(
                    "the query is wrong: app is there more than {LEASES_APPS_MAX} times, the limit: ask several times, or for parts that \
                     more names have"
                );
                return Err(Problem::new(Code::BadRequest, message).in_field("app"));
            }
            "app" => wanted.apps.push(value),
            _ => {
                let message = format!(
                    "the query is wrong: unknown parameter `{}`; there are model and app",
                    clean(&field)
                );
                return Err(Problem::new(Code::BadRequest, message).in_field(clean(&field)));
            }
        }
    }
    Ok(wanted)
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    query.map(|Query(pairs)| pairs).map_err(|rejection| {
        Problem::new(Code::BadRequest, format!("the query is wrong: {}", clean(&rejection.body_text())))
    })
}

/// Revoke a lease of Juju's, at once: a form, in the body or in the query.
#[utoipa::path(
    post, path = "/leases/revoke", tag = "operator",
    params(
        ("model" = String, Query, description = "The model's uuid"),
        ("lease" = Option<String>, Query, description = "The application; of a singular lease the entity, and the model where none is given"),
        ("ns" = Option<String>, Query, description = "application-leadership, where none is given, or singular-controller"),
    ),
    responses(
        (status = 200, description = "It is revoked, in Juju's words", content_type = "text/plain"),
        (status = 400, description = "What is missing, or that nobody holds it, in Juju's words", content_type = "text/plain"),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 405, description = "It takes a POST", content_type = "text/plain"),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn revoke(asking: Asking, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let form = match form(&uri, &headers, &body) {
        Ok(form) => form,
        Err(error) => return problem(error),
    };
    let lease = match Lease::of(&form) {
        Ok(lease) => lease,
        Err(words) => return said(StatusCode::BAD_REQUEST, &words),
    };
    match take_away(&asking, &lease).await {
        Ok(true) => said(StatusCode::OK, &format!("{lease} revoked")),
        Ok(false) => said(StatusCode::BAD_REQUEST, &format!("{lease} not found")),
        Err(error) => problem(error),
    }
}

/// Every other method there.
pub(super) async fn revoke_is_a_post(method: Method, _: Request) -> Response {
    let words = format!("revoking a lease requires a POST request, got \"{}\"", clean(method.as_str()));
    said(StatusCode::METHOD_NOT_ALLOWED, &words)
}

/// One line, as Juju answers.
fn said(status: StatusCode, words: &str) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT)], format!("{words}\n")).into_response()
}

/// The form's fields: of the body first, as Go reads them.
fn form(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Vec<(String, String)>, Problem> {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|it| it.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let mut fields = match std::str::from_utf8(body).ok().filter(|_| is_form) {
        Some(text) => {
            let in_body = Uri::builder().path_and_query(format!("/?{text}")).build();
            let wrong = |_| {
                Problem::new(
                    Code::BadRequest,
                    "the form is wrong: fields are NAME=VALUE, percent-encoded, with & between",
                )
            };
            pairs(&in_body.map_err(wrong)?)?
        }
        None => Vec::new(),
    };
    fields.extend(pairs(uri)?);
    Ok(fields)
}

/// Which lease is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    namespace: JujuNamespace,
    model: String,
    name: String,
}

impl Lease {
    /// # Errors
    /// What is missing or not known, in Juju's words.
    fn of(form: &[(String, String)]) -> Result<Lease, String> {
        let first = |field: &str| {
            let found = form.iter().find(|(name, _)| name == field);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (model, name, ns) = (first("model"), first("lease"), first("ns"));
        if model.is_empty() {
            return Err("missing model uuid".to_owned());
        }
        match JujuNamespace::parse(&ns) {
            Some(JujuNamespace::SingularController) => {
                let name = if name.is_empty() { model.clone() } else { name };
                Ok(Lease { namespace: JujuNamespace::SingularController, name, model })
            }
            None if !ns.is_empty() => Err(format!("unknown namespace: \"{}\"", clean(&ns))),
            _ if name.is_empty() => Err("missing lease".to_owned()),
            _ => Ok(Lease { namespace: JujuNamespace::ApplicationLeadership, model, name }),
        }
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (model, name) = (clean(&self.model), clean(&self.name));
        match self.namespace {
            JujuNamespace::SingularController => write!(f, "singular lease for model \"{model}\""),
            JujuNamespace::ApplicationLeadership => {
                write!(f, "application lease for model \"{model}\" and app \"{name}\"")
            }
        }
    }
}

/// Revokes the grant that there is now, and no other; false where there is none.
async fn take_away(asking: &Asking, lease: &Lease) -> Result<bool, Problem> {
    if !is_model_uuid(&lease.model) {
        return Ok(false);
    }
    let (namespace, name) = (lease.namespace.of_model(&lease.model), lease.name.clone());
    // Before it is looked whether there is anything to take away: that is told to nobody else.
    let scope = Scope::Lease { namespace: &namespace, name: &name, holder: None };
    asking.service.permit(&asking.caller, Verb::Revoke, scope)?;
    let get = Get { namespace: namespace.clone(), name: name.clone(), stale: false };
    let held = match asked(&asking.service, &asking.caller, Call::Get(get)).await {
        Reply::Lease(found) => found.held,
        Reply::Error(error) => return Err(error),
        _ => None,
    };
    let Some(held) = held else { return Ok(false) };
    let revoke = api::Revoke {
        namespace,
        name,
        token: held.token,
        why: WHY.to_owned(),
        now: true,
        deadline_ms: Some(REVOKED_WITHIN_MS),
        ..api::Revoke::default()
    };
    match asked(&asking.service, &asking.caller, Call::Revoke(revoke)).await {
        Reply::Error(error) if error.code == Code::Lost => Ok(false),
        Reply::Error(error) => Err(error),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;

    const UUID: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";

    fn of(form: &[(&str, &str)]) -> Result<String, String> {
        let form: Vec<_> =
            form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Lease::of(&form).map(|lease| lease.to_string())
    }

    #[test]
    fn a_form_is_read_and_refused_in_jujus_words() {
        let app = format!("application lease for model \"{UUID}\" and app \"mysql\"");
        let singular = format!("singular lease for model \"{UUID}\"");
        assert_eq!(of(&[("model", UUID), ("lease", "mysql")]), Ok(app.clone()));
        assert_eq!(of(&[("ns", "application-leadership"), ("lease", "mysql"), ("model", UUID)]), Ok(app));
        assert_eq!(of(&[("model", UUID), ("ns", "singular-controller")]), Ok(singular));
        let controller = Lease::of(
            &[("model", UUID), ("ns", "singular-controller"), ("lease", "other")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        assert_eq!(
            controller.map(|lease| lease.name),
            Ok("other".to_owned()),
            "the lease that is named, and no other"
        );
        assert_eq!(of(&[("lease", "mysql")]), Err("missing model uuid".to_owned()));
        assert_eq!(of(&[("model", UUID)]), Err("missing lease".to_owned()));
        assert_eq!(
            of(&[("model", UUID), ("lease", "a"), ("ns", "odd\n")]),
            Err("unknown namespace: \"odd\\n\"".to_owned())
        );
    }
}
