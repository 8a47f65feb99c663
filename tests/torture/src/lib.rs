//! The torture rig: real members under real faults, and the checker that judges what everybody was told.
//!
//! ```text
//!   seed ─▶ nemeses ──▶ members, disks, networks, clocks
//!                          ▲   │ events, status
//!     clients ─── calls ───┘   ▼
//!        └── invokes, returns, beliefs ──▶ history ──▶ check: H1 … H8 ──▶ verdict
//! ```
//!
//! [`history`] is what is written down, on one clock; [`check`] is what must hold of it. The rules stand by themselves: they
//! know what the project promises and nothing of how it keeps it, so that a misunderstanding in the code cannot repeat
//! itself here.

pub mod check;
pub mod history;
