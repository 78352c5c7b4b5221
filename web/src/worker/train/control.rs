//! What the page wants of a run that goes on, looked at between two steps.

use understudy_shared::train::fit;
use web::protocol::{Action, MEMORY_LIMIT};

use crate::worker::{Task, scope, with_state};

/// The wishes for the run that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    request: u32,
    mode: Mode,
    is_stopped: bool,
    /// Bytes of this worker's memory above which it is full.
    most_memory: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Run,
    Pause,
    OneStep,
}

/// Milliseconds between two looks of a run that is paused.
const LOOK: i32 = 20;

/// Pauses in a row in which other requests may work before the run goes on.
const YIELDS: usize = 8;

/// Bytes by which memory may grow above the limit where models alone come near it: a new worker would have
/// no more room.
const GROWTH: u64 = 400_000_000;

/// Takes memory as it is now for what the models need; what a run adds to that makes it full.
pub fn expect_growth() {
    let most_memory = MEMORY_LIMIT.max(scope::memory_bytes() + GROWTH);
    with_state(|state| {
        if let Some(control) = &mut state.lesson {
            control.most_memory = most_memory;
        }
    });
}

/// Takes a wish of the page; one for another run is too late and does nothing.
pub fn control(request: u32, action: Action) {
    with_state(|state| {
        let Some(control) = state.lesson.as_mut().filter(|control| control.request == request)
        else {
            return;
        };
        match action {
            Action::Pause => control.mode = Mode::Pause,
            Action::Resume => control.mode = Mode::Run,
            Action::Step => control.mode = Mode::OneStep,
            Action::Stop => control.is_stopped = true,
        }
    });
}

/// A run that goes on; there is one at most, until this is dropped.
pub struct Running {
    task: Task,
}

impl Running {
    /// Begins a run; none if another one goes on.
    pub fn begin(task: Task) -> Option<Self> {
        with_state(|state| {
            if state.lesson.is_some() {
                return None;
            }
            let (request, mode) = (task.id, Mode::Run);
            let (is_stopped, most_memory) = (false, MEMORY_LIMIT);
            state.lesson = Some(Control { request, mode, is_stopped, most_memory });
            Some(Self { task })
        })
    }

    /// Whether the page wants it to end.
    pub fn is_stopped(&self) -> bool {
        with_state(|state| {
            let is_stopped = state.lesson.is_some_and(|control| control.is_stopped);
            is_stopped || state.cancelled.contains(&self.task.id)
        })
    }

    /// Whether a new worker should go on.
    pub fn is_full(&self) -> bool {
        let most = with_state(|state| state.lesson.map(|control| control.most_memory));
        most.is_some_and(|most| scope::memory_bytes() > most)
    }

    /// Lets messages in, and waits while the run is paused, of which `tell` is told once. Says whether to
    /// go on.
    pub async fn pause(&self, mut tell: impl FnMut()) -> fit::Control {
        let mut is_told = false;
        for _ in 0..YIELDS {
            scope::pause().await;
            if with_state(|state| state.running.len() < 2) {
                break;
            }
        }
        loop {
            if self.is_stopped() {
                return fit::Control::Stop;
            }
            match self.mode() {
                Mode::Run => return fit::Control::Continue,
                Mode::OneStep => {
                    self.set_mode(Mode::Pause);
                    return fit::Control::Continue;
                }
                Mode::Pause if !is_told => {
                    tell();
                    is_told = true;
                }
                Mode::Pause => scope::wait(LOOK).await,
            }
        }
    }

    fn mode(&self) -> Mode {
        with_state(|state| state.lesson.map_or(Mode::Run, |control| control.mode))
    }

    fn set_mode(&self, mode: Mode) {
        with_state(|state| {
            if let Some(control) = &mut state.lesson {
                control.mode = mode;
            }
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        with_state(|state| state.lesson = None);
    }
}
