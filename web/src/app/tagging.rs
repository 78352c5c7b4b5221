//! Text on its way to a model, and back.

use std::future::Future;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web::protocol::{Answer, Command, Role};

use super::client::News;
use super::state::{Place, change, read};
use super::{chart, data, dom, notice, numbers, score, stage, strip, teach};

/// Milliseconds without a key before a text is tagged.
const PAUSE: i32 = 90;

/// The text changed: tags it after a pause in typing.
pub fn later() {
    let timer = change(|app| app.timer.take());
    timer.into_iter().for_each(dom::forget_timer);
    let timer = dom::after(PAUSE, || {
        change(|app| app.timer = None);
        now();
    });
    change(|app| app.timer = Some(timer));
}

/// Tags with every model that is there, the student first, and what it was before it was taught.
pub fn now() {
    tag(Role::Student);
    tag(Role::Teacher);
    if teach::is_taught() {
        tag(Role::Former);
    }
}

/// Tags with one model; what it was tagging before is given up.
pub fn tag(role: Role) {
    let tagging = begin(role);
    stage::show_marks(role);
    tagging.into_iter().for_each(spawn_local);
}

/// Tags with one model, and waits until it has, or until something else came between.
pub async fn tag_and_wait(role: Role) {
    if let Some(tagging) = begin(role) {
        stage::show_marks(role);
        tagging.await;
    }
}

/// Looks what a student that is being taught makes of the text now; its marks stay until then.
pub fn look() {
    begin(Role::Student).into_iter().for_each(spawn_local);
}

/// Sends the text on its way; the rest is done when the answer comes.
fn begin(role: Role) -> Option<impl Future<Output = ()> + 'static> {
    let client = read(|app| app.loaded(role).and(app.client.clone()))?;
    give_up(role, |place| place.tagging.take());
    let (text, options) = read(|app| (app.text.clone(), app.link.options.clone()));
    let command = Command::Tag { role, text: text.to_string(), options };
    let asked = client.send(command, &[], move |id, news| show_progress(role, id, news));
    let id = asked.id;
    change(|app| app.place_mut(role).tagging = Some(id));
    Some(async move {
        let answer = asked.answer.await;
        if read(|app| app.place(role).tagging) != Some(id) {
            return;
        }
        let is_running = teach::is_stepping();
        change(|app| {
            let place = app.place_mut(role);
            (place.tagging, place.progress) = (None, None);
        });
        match answer {
            Answer::Tagged(tagged) => change(|app| {
                app.first_tag = app.first_tag.or_else(dom::since_click);
                let place = app.place_mut(role);
                if tagged.computed && tagged.subwords > 0 && !is_running {
                    place.latencies.add(tagged.millis, tagged.subwords);
                }
                place.tagged = Some((text, Rc::new(*tagged)));
            }),
            Answer::Failed { message, .. } => notice::bad(&message, None),
            _ => {}
        }
        // Between two steps there is time for the marks alone.
        match is_running || role == Role::Former {
            true => stage::show_results(),
            false => show_results(),
        }
    })
}

fn show_results() {
    stage::show_results();
    strip::show();
    numbers::show();
    chart::show();
    data::show();
}

/// Progress of a request that was given up is still on its way for a while.
fn show_progress(role: Role, id: u32, news: News) {
    let News::Progress(progress) = news else { return };
    change(|app| {
        let place = app.place_mut(role);
        if [place.tagging, place.scoring].contains(&Some(id)) {
            place.progress = Some(progress);
        }
    });
    stage::show_work();
}

/// Gives up what is running.
pub fn cancel() {
    Role::BOTH.into_iter().for_each(|role| give_up(role, |place| place.tagging.take()));
    forget_scoring();
    stage::show_results();
    score::show();
}

/// Gives up what a model is tagging, and what it has tagged.
pub fn forget(role: Role) {
    give_up(role, |place| place.tagging.take());
    change(|app| app.place_mut(role).tagged = None);
}

/// Gives up what is being scored.
pub fn forget_scoring() {
    Role::BOTH.into_iter().for_each(|role| give_up(role, |place| place.scoring.take()));
}

/// Cancels a request of a model, if there is one.
fn give_up(role: Role, take: fn(&mut Place) -> Option<u32>) {
    let (client, request) = change(|app| {
        let client = app.client.clone();
        let place = app.place_mut(role);
        place.progress = None;
        (client, take(place))
    });
    if let (Some(client), Some(request)) = (client, request) {
        client.cancel(request);
    }
}

/// Scores a model on the labelled file, if there is one.
pub fn score(role: Role) {
    let ready = read(|app| {
        app.loaded(role)?;
        Some((app.client.clone()?, app.file.clone()?, app.link.options.clone()))
    });
    let Some((client, file, options)) = ready else { return };
    give_up(role, |place| place.scoring.take());
    change(|app| app.place_mut(role).scored = None);
    let command = Command::Score { role, file: file.to_string(), options };
    let asked = client.send(command, &[], move |id, news| show_progress(role, id, news));
    let id = asked.id;
    change(|app| app.place_mut(role).scoring = Some(id));
    score::show();
    spawn_local(async move {
        let answer = asked.answer.await;
        if read(|app| app.place(role).scoring) != Some(id) {
            return;
        }
        change(|app| {
            let place = app.place_mut(role);
            (place.scoring, place.progress) = (None, None);
        });
        match answer {
            Answer::Scored(scored) => change(|app| app.place_mut(role).scored = Some(*scored)),
            Answer::Failed { message, .. } => notice::bad(&message, None),
            _ => {}
        }
        stage::show_work();
        score::show();
    });
}
