//! A worker, seen from the page: requests go out with numbers, answers come back to who asked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::Array;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web::json::{Json, Wire};
use web::protocol::{
    Answer, Backend, Command, NO_REQUEST, Progress, Request, TrainReport, VERSION,
};
use web_sys::{Event, File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::dom;

thread_local! {
    /// The number of the last request to any worker, so that a number means one request.
    static LAST: Cell<u32> = const { Cell::new(NO_REQUEST) };
}

/// A number for a request that is sent by [`Client::send_as`].
pub fn number() -> u32 {
    LAST.set(LAST.get() + 1);
    LAST.get()
}

/// Told the request's number too.
type OnNews = Rc<dyn Fn(u32, News)>;

/// What comes before a request's last answer.
pub enum News {
    /// It goes on.
    Progress(Progress),
    /// A run of training has taken a step, or has paused.
    Trained(Box<TrainReport>),
}

/// A request that waits.
struct Waiting {
    answer: Option<Answer>,
    waker: Option<Waker>,
    on_news: OnNews,
}

#[derive(Default)]
struct Shared {
    waiting: RefCell<HashMap<u32, Waiting>>,
    /// Files that came beside an answer.
    files: RefCell<HashMap<u32, Vec<File>>>,
    is_lost: Cell<bool>,
}

/// A connection to one worker; the worker ends with it.
pub struct Client {
    worker: Worker,
    backend: Backend,
    shared: Rc<Shared>,
    _listener: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn(Event)>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.terminate();
        self.shared.lose("the worker was replaced");
    }
}

impl Shared {
    fn answer(&self, id: u32, answer: Answer) {
        let news = match answer {
            Answer::Progress(progress) => News::Progress(progress),
            Answer::Trained(report) if !report.state.is_over() => News::Trained(report),
            answer => return self.finish(id, answer),
        };
        let on_news = self.waiting.borrow().get(&id).map(|request| request.on_news.clone());
        // The borrow is over, for it may ask something else.
        if let Some(on_news) = on_news {
            on_news(id, news);
        }
    }

    fn finish(&self, id: u32, answer: Answer) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(request) = waiting.get_mut(&id) else { return };
        request.answer = Some(answer);
        if let Some(waker) = request.waker.take() {
            waker.wake();
        }
    }

    /// Answers everyone who waits.
    fn lose(&self, message: &str) {
        self.is_lost.set(true);
        let ids: Vec<u32> = self.waiting.borrow().keys().copied().collect();
        ids.into_iter()
            .for_each(|id| self.answer(id, Answer::Crashed { message: message.to_owned() }));
    }
}

impl Client {
    /// Starts a worker; `on_crash` is told once if it is lost.
    pub fn new(backend: Backend, on_crash: impl Fn(String) + 'static) -> Result<Self, String> {
        let module = match backend {
            Backend::Cpu => "start_worker.js?worker",
            Backend::Webgpu => "start_worker.js?worker_gpu",
        };
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(module, &options)
            .map_err(|error| format!("no worker can be started: {error:?}"))?;
        let shared = Rc::<Shared>::default();
        let inner = shared.clone();
        let lose = Rc::new(move |message: String| {
            if !inner.is_lost.get() {
                inner.lose(&message);
                on_crash(message);
            }
        });
        let (inner, lost) = (shared.clone(), lose.clone());
        let listener = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            // `[text, file, …]` where files come beside the text.
            let mut parts = event.data().dyn_into::<Array>().unwrap_or_default().to_vec();
            let files = if parts.is_empty() { vec![] } else { parts.split_off(1) };
            let text = parts.pop().unwrap_or_else(|| event.data());
            let text = text.as_string().unwrap_or_default();
            let mut json = Json::parse(&text).unwrap_or(Json::Null);
            let id = u32::from_json(json.take("id")).unwrap_or(NO_REQUEST);
            // Whoever waits for what this page cannot read would wait for ever.
            let unknown = || Answer::Failed {
                message: "the worker’s answer is of another version; reload the page".to_owned(),
                can_retry: false,
            };
            match Answer::from_json(json.take("answer")).unwrap_or_else(unknown) {
                Answer::Crashed { message } | Answer::Failed { message, .. }
                    if id == NO_REQUEST =>
                {
                    lost(message);
                }
                answer => {
                    if !files.is_empty() {
                        let files = files.into_iter().map(JsCast::unchecked_into).collect();
                        inner.files.borrow_mut().insert(id, files);
                    }
                    inner.answer(id, answer);
                }
            }
        });
        worker.set_onmessage(Some(listener.as_ref().unchecked_ref()));
        // Its script did not come, or is none for this browser; else it tells of its faults itself.
        let on_error = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            let said = dom::property(&event, "message").as_string();
            let said = said.filter(|said| !said.is_empty());
            let said = said.map_or_else(String::new, |said| format!(" ({said})"));
            lose(format!("its program could not be loaded{said}; reload the page"));
        });
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        worker.set_onmessageerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self { worker, backend, shared, _listener: listener, _on_error: on_error })
    }

    /// Opens the worker's device.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub async fn start(&self) -> Result<(), String> {
        match self.ask(Command::Start { backend: self.backend }).answer.await {
            Answer::Started { version: VERSION, .. } => Ok(()),
            Answer::Started { .. } => Err("page and worker are of different versions; \
                 reload the page"
                .to_owned()),
            Answer::Failed { message, .. } | Answer::Crashed { message } => Err(message),
            _ => Err("the worker gave another answer than was asked for".to_owned()),
        }
    }

    /// Which device it computes on.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Asks, and does not care about news.
    pub fn ask(&self, command: Command) -> Asked {
        self.send(command, &[], |_, _| ())
    }

    /// Asks.
    pub fn send(
        &self,
        command: Command,
        buffers: &[JsValue],
        on_news: impl Fn(u32, News) + 'static,
    ) -> Asked {
        self.send_as(number(), command, buffers, on_news)
    }

    /// Asks by a number that was taken before.
    pub fn send_as(
        &self,
        id: u32,
        command: Command,
        buffers: &[JsValue],
        on_news: impl Fn(u32, News) + 'static,
    ) -> Asked {
        let mut waiting = Waiting { answer: None, waker: None, on_news: Rc::new(on_news) };
        if self.shared.is_lost.get() {
            waiting.answer = Some(Answer::Crashed { message: "the worker is lost".to_owned() });
        }
        self.shared.waiting.borrow_mut().insert(id, waiting);
        self.post(Request { id, command }, buffers);
        Asked { id, answer: AnswerOf { id, shared: self.shared.clone() } }
    }

    /// Gives a request up.
    pub fn cancel(&self, request: u32) {
        self.tell(Command::Cancel { request });
    }

    /// Sends what is not answered.
    pub fn tell(&self, command: Command) {
        self.post(Request { id: NO_REQUEST, command }, &[]);
    }

    /// The files that came beside the answer of a request.
    pub fn take_files(&self, request: u32) -> Vec<File> {
        self.shared.files.borrow_mut().remove(&request).unwrap_or_default()
    }

    fn post(&self, request: Request, buffers: &[JsValue]) {
        let message = Array::of1(&request.to_json().to_line().into());
        let transfer = Array::new();
        for buffer in buffers {
            message.push(buffer);
            transfer.push(buffer);
        }
        if let Err(error) = self.worker.post_message_with_transfer(&message, &transfer) {
            let message = format!("a message cannot be sent: {error:?}");
            self.shared.answer(request.id, Answer::Failed { message, can_retry: false });
        }
    }
}

/// A request that was sent.
pub struct Asked {
    /// Its number.
    pub id: u32,
    /// What will be answered.
    pub answer: AnswerOf,
}

/// The answer of one request.
pub struct AnswerOf {
    id: u32,
    shared: Rc<Shared>,
}

impl Future for AnswerOf {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut waiting = self.shared.waiting.borrow_mut();
        let request = waiting.get_mut(&self.id).expect("removed below, once it is answered");
        if request.answer.is_none() {
            request.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let request = waiting.remove(&self.id).expect("there above");
        Poll::Ready(request.answer.expect("there above"))
    }
}
