//! Who may come by a token, and how that changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// See the tokens, or change them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeTokens {
    /// What to change; without it, they are only shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<TokenChange>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// A change of the tokens. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenChange {
    /// Let somebody come by a token. Whoever asks has drawn it, and sends no more than its hash.
    Create(CreateToken),
    /// A token is good no more, from within a second on. It stays in the list.
    Revoke {
        /// Which: 16 hexadecimal digits.
        id: String,
    },
    /// Take a token out of the list: also good no more.
    Forget {
        /// Which: 16 hexadecimal digits.
        id: String,
    },
}

/// Whom a new token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// The token's id, drawn at random: 16 hexadecimal digits.
    pub id: String,
    /// The SHA-256 of its secret, 32 bytes drawn at random: 64 hexadecimal digits.
    pub hash: String,
    /// Who comes with it; a unit's is the holder that it may be, an app-admin's the application whose units it may act for.
    pub principal: String,
    /// `unit`, `app-admin`, `reader`, `operator` or `auditor`.
    pub role: String,
    /// Where; without it, everywhere, which a unit and an app-admin may not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A unit's lease, and those under it: `db` is `db` and `db/…`. Without it, its application's: `mysql` of `mysql/0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// How long it is good, in milliseconds, rounded up to seconds; without it, until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_ms: Option<u64>,
    /// Claims a second that one member takes from it, five seconds' worth at once; without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_per_second: Option<u32>,
}

/// The tokens, by id, and nothing of their secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Those that are revoked or expired among them.
    pub tokens: Vec<TokenView>,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// Who comes with it.
    pub principal: String,
    /// What they are.
    pub role: String,
    /// Where; absent where everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A unit's lease, where it is not its application's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// How long it is good yet, in milliseconds: 0 where it has expired; absent where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// Whether it was revoked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// Claims a second that one member takes from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_per_second: Option<u32>,
}
