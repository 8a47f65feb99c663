//! The session's one task: carries between callers, the machine and its sockets, and decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::handle::disown;
use crate::machine::{Ask, Config, Done, Effect, End, Input, LinkId, Machine, OpId};
use crate::mailbox::{Letter, Mailbox};
use crate::transport::{Event, Wire};
use crate::watcher::Feed;
use crate::{Bearer, Clock, Endpoint, Failure, Instant, LinkNews, OnLink, Options, Tls, Unavailable};

/// How long a session that ends may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

pub(crate) struct Task {
    machine: Machine,
    clock: Arc<dyn Clock>,
    mailbox: Arc<Mailbox>,
    endpoints: Vec<Endpoint>,
    tls: Option<Tls>,
    token: Option<Bearer>,
    connect_timeout: Duration,
    on_link: Option<OnLink>,
    wires: Vec<Wire>,
    answers: BTreeMap<OpId, oneshot::Sender<Result<Done, Failure>>>,
    feeds: BTreeMap<OpId, Arc<Feed>>,
    inputs: VecDeque<Input>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    ending: Option<Ending>,
}

struct Ending {
    done: Vec<oneshot::Sender<()>>,
    timeout: Pin<Box<Sleep>>,
}

impl Task {
    pub(crate) fn new(
        options: Options,
        instance: u64,
        seed: u64,
        clock: Arc<dyn Clock>,
        mailbox: Arc<Mailbox>,
    ) -> Task {
        let endpoints = options.endpoints.iter().map(ToString::to_string).collect();
        let machine = Machine::new(Config {
            endpoints,
            home_after: options.home_after,
            instance,
            seed,
            agent: options.agent,
        });
        Task {
            machine,
            clock,
            mailbox,
            endpoints: options.endpoints,
            tls: options.tls,
            token: options.token,
            connect_timeout: options.connect_timeout,
            on_link: options.on_link,
            wires: Vec::new(),
            answers: BTreeMap::new(),
            feeds: BTreeMap::new(),
            inputs: VecDeque::new(),
            timer: None,
            ending: None,
        }
    }

    fn read_mail(&mut self) {
        for letter in self.mailbox.take() {
            match letter {
                Letter::Ask { op, ask, ends, answer } => {
                    self.answers.insert(op, answer);
                    self.inputs.push_back(Input::Ask { op, ask, ends });
                }
                Letter::Watch { op, watch, ends, answer, feed } => {
                    self.answers.insert(op, answer);
                    self.feeds.insert(op, feed);
                    let ask = Ask::Call(api::Call::Watch(watch));
                    self.inputs.push_back(Input::Ask { op, ask, ends });
                }
                Letter::Abandon { op } => {
                    self.answers.remove(&op);
                    self.feeds.remove(&op);
                    self.inputs.push_back(Input::Abandon { op });
                }
                Letter::Keep { namespace, name, token } => {
                    self.inputs.push_back(Input::Keep { namespace, name, token });
                }
                Letter::Disown { namespace, name, token } => {
                    self.inputs.push_back(Input::Disown { namespace, name, token });
                }
                Letter::Close { done } => self.end(Some(done)),
            }
        }
        if self.mailbox.is_closed() {
            self.end(None);
        }
    }

    fn read_wires(&mut self, cx: &mut Context<'_>) {
        for wire in &mut self.wires {
            let link = wire.id;
            while let Poll::Ready(event) = wire.poll(cx) {
                let lost = matches!(event, Event::Lost(_));
                self.inputs.push_back(match event {
                    Event::Opened => Input::Opened { link },
                    Event::Frame(frame) => Input::Answer { link, frame: *frame },
                    Event::Heard => Input::Heard { link },
                    Event::Lost(cause) => Input::Lost { link, cause },
                });
                if lost {
                    break;
                }
            }
        }
    }

    fn read_timer(&mut self, cx: &mut Context<'_>) {
        let Some(at) = self.machine.next_wake() else { return };
        let now = self.clock.now();
        if at <= now {
            self.inputs.push_back(Input::Wake);
            return;
        }
        // The runtime's clock may run slower or stop in a suspend: each wake-up is checked against holder time, and set
        // again where it came too early.
        let wake = tokio::time::Instant::now() + now.until(at);
        let timer = match &mut self.timer {
            Some((set, timer)) => {
                if *set != at {
                    timer.as_mut().reset(wake);
                    *set = at;
                }
                timer
            }
            None => &mut self.timer.insert((at, Box::pin(tokio::time::sleep_until(wake)))).1,
        };
        if timer.as_mut().poll(cx).is_ready() {
            self.timer = None;
            cx.waker().wake_by_ref();
        }
    }

    fn step(&mut self, input: Input, cx: &mut Context<'_>) {
        let mut effects = Vec::new();
        match &input {
            Input::Lost { link, cause } => {
                tracing::debug!(link = link.0, cause, "link lost");
                self.drop_wire(*link, cause);
            }
            Input::Opened { link } => {
                tracing::debug!(link = link.0, "link open");
                if let (Some(tell), Some(wire)) =
                    (&self.on_link, self.wires.iter().find(|wire| wire.id == *link))
                {
                    tell(LinkNews::Reached { endpoint: &wire.endpoint.to_string() });
                }
            }
            _ => {}
        }
        // One reading for all frames of this step: none of them can have left before it.
        self.machine.step(self.clock.now(), input, &mut effects);
        for effect in effects {
            self.carry_out(effect, cx);
        }
    }

    fn carry_out(&mut self, effect: Effect, cx: &mut Context<'_>) {
        tracing::trace!(%effect);
        match effect {
            Effect::Open { link, endpoint } => {
                let endpoint = self.endpoints[endpoint].clone();
                let who = (self.tls.clone(), self.token.clone());
                self.wires.push(Wire::open(link, endpoint, who, self.connect_timeout));
            }
            Effect::Send { link, frame } => self.send(link, &frame),
            Effect::Ping { link } => {
                if let Some(wire) = self.wire(link) {
                    wire.ping();
                }
            }
            Effect::Close { link } => {
                if let Some(wire) = self.wire(link) {
                    // One try: a peer that does not take our goodbye is not waited for.
                    let _ = wire.poll_close(cx);
                }
                self.drop_wire(link, "no sign of life");
            }
            Effect::Done { op, result } => {
                if let Some(answer) = self.answers.remove(&op)
                    && let Err(result) = answer.send(result)
                {
                    disown(&self.mailbox, result);
                }
            }
            Effect::Events { op, events } => {
                let fits = self.feeds.get(&op).is_some_and(|feed| feed.push(events));
                if !fits {
                    self.feeds.remove(&op);
                    self.inputs.push_back(Input::Abandon { op });
                }
            }
            Effect::WatchOver { op, failure } => {
                if let Some(feed) = self.feeds.remove(&op) {
                    feed.end(failure);
                }
            }
            Effect::Held { token, until } => self.mailbox.hold(token, until),
            Effect::Doomed { token, why } => self.mailbox.doom(token, why.into()),
            Effect::Over { token, why: End::Expired } => self.mailbox.lapse(token),
            Effect::Over { token, why } => self.mailbox.end(token, why.into()),
            Effect::Wake(_) => {}
        }
    }

    fn drop_wire(&mut self, link: LinkId, cause: &str) {
        let Some(at) = self.wires.iter().position(|wire| wire.id == link) else { return };
        let wire = self.wires.remove(at);
        if let Some(tell) = self.on_link.as_ref().filter(|_| !self.wires.iter().any(Wire::is_open)) {
            tell(LinkNews::Lost { endpoint: &wire.endpoint.to_string(), cause });
        }
    }

    fn send(&mut self, link: LinkId, frame: &api::ClientFrame) {
        let limit = api::rules::FRAME_BYTES_MAX;
        let problem = match serde_json::to_string(frame) {
            Ok(text) if text.len() <= limit => {
                if let Some(wire) = self.wire(link) {
                    wire.send(text);
                }
                return;
            }
            Ok(text) => {
                let message =
                    format!("the frame has {} bytes, and the limit is {limit}: split it", text.len());
                api::Problem::new(api::Code::TooLarge, message)
            }
            Err(error) => {
                api::Problem::new(api::Code::BadRequest, format!("the call cannot be written: {error}"))
            }
        };
        // It surely did not leave: say so as the server would.
        let frame = api::ServerFrame::reply(frame.id, api::Reply::Error(problem));
        self.inputs.push_back(Input::Answer { link, frame });
    }

    fn write_wires(&mut self, cx: &mut Context<'_>) {
        for wire in &mut self.wires {
            if let Poll::Ready(Err(cause)) = wire.poll_write(cx) {
                self.inputs.push_back(Input::Lost { link: wire.id, cause });
            }
        }
    }

    fn wire(&mut self, link: LinkId) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.id == link)
    }

    fn end(&mut self, done: Option<oneshot::Sender<()>>) {
        self.mailbox.close();
        self.inputs.push_back(Input::Close);
        let ending = self.ending.get_or_insert_with(|| Ending {
            done: Vec::new(),
            timeout: Box::pin(tokio::time::sleep(GOODBYE)),
        });
        ending.done.extend(done);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wires.retain_mut(|wire| wire.poll_close(cx).is_pending());
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        if self.wires.is_empty() || ending.timeout.as_mut().poll(cx).is_ready() {
            for done in ending.done.drain(..) {
                let _ = done.send(());
            }
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        task.mailbox.register(cx.waker());
        while task.ending.is_none() {
            task.read_mail();
            task.read_wires(cx);
            task.read_timer(cx);
            if task.inputs.is_empty() {
                return Poll::Pending;
            }
            while let Some(input) = task.inputs.pop_front() {
                task.step(input, cx);
            }
            task.write_wires(cx);
        }
        task.poll_end(cx)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.mailbox.close();
        self.mailbox.clear();
        for feed in self.feeds.values() {
            feed.end(Failure::Unavailable(Unavailable::Closed));
        }
    }
}
