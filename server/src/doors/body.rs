//! A request's JSON body: its type, its size, its time and its text are checked, each with its own answer.

use std::time::Duration;

use api::{Code, Problem};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use lease::FRAME_BYTES_MAX;
use serde::de::DeserializeOwned;

use super::json;
use super::reply::{problem, problem_as};
use crate::service::clean;

/// How long a body may take to arrive: a client that sends a byte a second would hold its connection for ever.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// A body, read.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Response> {
        check_type(request.headers())?;
        check_length(request.headers()).map_err(problem)?;
        let bytes = match tokio::time::timeout(ARRIVES_WITHIN, Bytes::from_request(request, state)).await {
            Ok(read) => read.map_err(|rejection| problem(unread(&rejection)))?,
            Err(_) => {
                let message =
                    format!("the body did not arrive within {} s: send it at once", ARRIVES_WITHIN.as_secs());
                return Err(problem_as(StatusCode::REQUEST_TIMEOUT, Problem::new(Code::BadRequest, message)));
            }
        };
        json::read(&bytes).map(Body).map_err(problem)
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Response> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = given.as_deref().and_then(|given| given.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let given = given.as_deref().unwrap_or("missing");
    let message = format!("the content type is {}: send application/json", clean(given));
    let error = Problem::new(Code::BadRequest, message).in_field("content-type");
    Err(problem_as(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}

/// A body that says it is too large is refused before a byte of it is kept.
fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > FRAME_BYTES_MAX => Err(too_large(&format!("{length} bytes"))),
        _ => Ok(()),
    }
}

fn unread(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("more bytes"),
        _ => Problem::new(
            Code::BadRequest,
            format!("the body did not arrive whole: {}", clean(&rejection.body_text())),
        ),
    }
}

fn too_large(has: &str) -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("the body has {has}, and the limit is {FRAME_BYTES_MAX} bytes: send less"),
    )
}
