//! What one bot does, as a task: it takes its time and tells what came of it.

use std::time::Duration;

use ninefold::api::protocol::{ErrorBody, View, Wish};

use crate::bot::{Bot, BotError};
use crate::schedule::Step;
use crate::seen::Seen;
use crate::server::{MetricsError, Usage};

/// What came of a task. The number is a place in the crowd.
#[derive(Debug)]
pub enum Outcome {
    /// It is in, or not.
    Joined(usize, Result<Bot, BotError>),
    /// It is connected and has a picture, or has none in time.
    Ready(usize, bool),
    /// A step was done, or why not.
    Done(usize, Step, Result<(), String>),
    /// What the server says of itself.
    Read(Box<Result<Usage, MetricsError>>),
}

/// Waits until it is connected and has a picture, if it has a place for one.
pub async fn ready(bot: &Bot, time: Duration) -> bool {
    let ready = |seen: &Seen| {
        let watches = seen.slots.values().any(|slot| slot.video);
        seen.is_connected() && (!watches || seen.times.first_frame.is_some())
    };
    bot.wait(time, ready).await
}

/// Says goodbye, if need be by another WebSocket.
pub async fn leave(bot: &Bot, cut: bool) -> bool {
    // Who cannot come back cannot say it, and vanishes.
    (!cut || bot.resume().await.is_ok()) && bot.leave().await
}

/// Does a step of one that is in.
pub async fn act(bot: &Bot, step: Step) -> Result<(), String> {
    let refused = |error: ErrorBody| format!("{} ({})", error.message, error.code);
    match step {
        // These are no steps of one that is in.
        Step::Join | Step::Vanish => Ok(()),
        Step::Leave => leave(bot, false).await.then_some(()).ok_or_else(|| "the server does not close the socket".into()),
        Step::Cut => {
            bot.cut().await;
            Ok(())
        }
        Step::Resume => bot.resume().await.map_err(|error| error.to_string()),
        Step::Move => bot.change_address().await.map_err(|error| error.to_string()),
        Step::Mute(source, muted) => match bot.track(source) {
            Some(track) => bot.mute(track, muted).await.map_err(refused),
            None => Ok(()),
        },
        Step::View(offset) => bot.view(View::Auto { offset, limit: None, pinned: vec![] }).await.map_err(refused),
        Step::Wishes(height) => bot.wish(wishes(bot, height)).await.map_err(refused),
    }
}

/// All pictures in this height; 0: out of sight.
fn wishes(bot: &Bot, height: u32) -> Vec<Wish> {
    let wish = |mid: &String, track| Wish {
        mid: mid.clone(),
        track,
        width: (height > 0).then_some(height * 16 / 9),
        height: (height > 0).then_some(height),
        visible: height > 0,
        priority: 0,
        paused: false,
    };
    let told = |seen: &Seen| {
        let video = seen.slots.iter().filter(|(_, slot)| slot.video);
        video.filter_map(|(mid, slot)| Some(wish(mid, slot.told.as_ref()?.track?))).collect()
    };
    bot.look(told)
}
