//! The frames of a session WebSocket: one JSON object a text frame.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Acquire, ChangeMembers, ChangeNamespaces, ChangeTokens, Check, Checked, Claim, Count, Counted, Ending,
    Ends, Events, Extend, Free, Get, Grant, History, Lease, List, Members, Namespaces, Page, Pin, Problem,
    Release, Released, Revoke, Tokens, Transfer, Unpin, Wait, Watch, Watching, Welcome,
};

/// From the client: a call and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientFrame {
    /// The client's number for this call; its reply carries it.
    pub id: u64,
    /// What is asked for.
    pub call: Call,
}

/// What a session's client may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Say who calls, and in which version. Optional; answered by `welcome`.
    Hello(Hello),
    /// Answered by `granted`.
    Claim(Claim),
    /// Answered by `granted`.
    Extend(Extend),
    /// Answered by `released`.
    Release(Release),
    /// Answered by `granted`, once it is its turn.
    Acquire(Acquire),
    /// Answered by `released`, which names the grant that ended.
    Transfer(Transfer),
    /// Answered by `ending`, or with `now` by `released`.
    Revoke(Revoke),
    /// Answered by `done`.
    Pin(Pin),
    /// Answered by `done`.
    Unpin(Unpin),
    /// Answered by `free`, once it is so.
    Wait(Wait),
    /// Answered by `watching`; then come pushes of `events` that carry this call's number, until it is cancelled, or
    /// answered once more, by an error.
    Watch(Watch),
    /// Answered by `lease`.
    Get(Get),
    /// Answered by `page`.
    List(List),
    /// Answered by `counted`.
    Count(Count),
    /// Answered by `ends`.
    History(History),
    /// Answered by `checked`; refused `stale_token` or `lost` where it is not the living grant's.
    Check(Check),
    /// Answered by `members`.
    Members(ChangeMembers),
    /// Answered by `tokens`.
    Tokens(ChangeTokens),
    /// Answered by `namespaces`.
    Namespaces(ChangeNamespaces),
    /// Many steps in one frame, up to 10,000; answered by `bulk`, an outcome each, in order.
    Bulk(Vec<Step>),
    /// Give up a wait, an acquire or a watch; answered by `cancelled`. The call itself is answered no more.
    Cancel(Cancel),
}

impl Call {
    /// Whether it may change something: left without an answer, it may have been done.
    pub fn has_effect(&self) -> bool {
        match self {
            Call::Claim(_)
            | Call::Extend(_)
            | Call::Release(_)
            | Call::Acquire(_)
            | Call::Transfer(_)
            | Call::Revoke(_)
            | Call::Pin(_)
            | Call::Unpin(_)
            | Call::Bulk(_) => true,
            Call::Members(members) => members.change.is_some(),
            Call::Tokens(tokens) => tokens.change.is_some(),
            Call::Namespaces(namespaces) => namespaces.change.is_some(),
            Call::Hello(_)
            | Call::Wait(_)
            | Call::Watch(_)
            | Call::Get(_)
            | Call::List(_)
            | Call::Count(_)
            | Call::History(_)
            | Call::Check(_)
            | Call::Cancel(_) => false,
        }
    }
}

/// One step of a bulk call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// As the call of that name.
    Claim(Claim),
    /// As the call of that name.
    Extend(Extend),
    /// As the call of that name.
    Release(Release),
}

/// The client's greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The API's version that the client speaks.
    pub version: u32,
    /// The client's program and version, for the server's log.
    pub agent: String,
}

/// Which wait, acquire or watch to give up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The call's number.
    pub id: u64,
}

/// From the server: a reply with its call's number, or a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerFrame {
    /// Which call this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// News that answers no call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
}

impl ServerFrame {
    /// The frame that answers call `id`.
    pub fn reply(id: u64, reply: Reply) -> ServerFrame {
        ServerFrame { id: Some(id), reply: Some(reply), push: None }
    }

    /// A frame that answers no call.
    pub fn push(push: Push) -> ServerFrame {
        ServerFrame { id: None, reply: None, push: Some(push) }
    }
}

/// What a server answers on a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To hello.
    Welcome(Welcome),
    /// To claim, acquire and extend.
    Granted(Grant),
    /// To release, transfer, and revoke with `now`: the grant has ended.
    Released(Released),
    /// To revoke: the grant ends at its deadline.
    Ending(Ending),
    /// To pin and unpin.
    Done,
    /// To wait.
    Free(Free),
    /// To get.
    Lease(Box<Lease>),
    /// To list.
    Page(Page),
    /// To count.
    Counted(Counted),
    /// To watch.
    Watching(Watching),
    /// To history.
    Ends(Ends),
    /// The cluster's members: of members.
    Members(Members),
    /// To tokens: as they are after it.
    Tokens(Tokens),
    /// To namespaces: as they are after it.
    Namespaces(Namespaces),
    /// To check: it is the living grant's.
    Checked(Checked),
    /// To bulk: an outcome a step, in order.
    #[schema(no_recursion)]
    Bulk(Vec<Reply>),
    /// To cancel.
    Cancelled,
    /// To any call: no.
    Error(Problem),
}

/// News that answers no call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Push {
    /// The server will close this session, or would rather have it elsewhere: go to another member, or come back once it is closed.
    Going(Going),
    /// What a watch sees, in order.
    Events(Events),
    /// A frame could not be read, so that it is not known which call it was: none of it took effect.
    Unreadable(Problem),
}

/// Why and when a session should move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Going {
    /// Why.
    pub why: String,
    /// When to come back, in milliseconds, spread by the server.
    pub reconnect_after_ms: u64,
}
