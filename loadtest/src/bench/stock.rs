//! The same packets by str0m's own send path: `write_rtp`, a timeout and a drain for each packet, to connected peers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};

use super::median;

const SENDER: ([u8; 4], u16) = ([10, 255, 0, 1], 10_000);
const ROUNDS: usize = 7;
const PACKETS: u64 = 200;
/// Between two packets.
const APART: Duration = Duration::from_millis(5);

struct Pair {
    sender: Rtc,
    receiver: Rtc,
    address: SocketAddr,
    mid: Mid,
}

/// Nanoseconds for each packet to each of so many receivers.
pub fn measure(receivers: usize, bytes: usize) -> Result<f64, String> {
    let mut now = Instant::now();
    let mut pairs = (0..receivers).map(|index| Pair::new(index, now)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..400 {
        now += APART;
        pairs.iter_mut().for_each(|pair| pair.exchange(now));
    }
    if !pairs.iter().all(|pair| pair.sender.is_connected()) {
        return Err("str0m did not connect with itself".into());
    }
    let payload: Arc<[u8]> = vec![7; bytes].into();
    let (mut seq, mut rounds) = (100u64, vec![]);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..PACKETS {
            now += APART;
            seq += 1;
            pairs.iter_mut().for_each(|pair| pair.send(seq, &payload, now));
        }
        rounds.push(began.elapsed().as_nanos() as f64 / (PACKETS * receivers as u64) as f64);
        // Consent and reports go on, and are not counted.
        pairs.iter_mut().for_each(|pair| pair.exchange(now));
    }
    Ok(median(rounds))
}

impl Pair {
    fn new(index: usize, now: Instant) -> Result<Pair, String> {
        let config = || RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_vp8(true);
        let (mut sender, mut receiver) = (config().set_ice_lite(true).build(now), config().build(now));
        let address = SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 4_000));
        let candidate = |address: SocketAddr| Candidate::host(address, "udp").map_err(|error| error.to_string());
        sender.add_local_candidate(candidate(SENDER.into())?);
        receiver.add_local_candidate(candidate(address)?);
        let mut changes = receiver.sdp_api();
        let mid = changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = changes.apply().ok_or("no offer")?;
        let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string()).map_err(|error| error.to_string())?;
        let answer = sender.sdp_api().accept_offer(offer).map_err(|error| error.to_string())?;
        receiver.sdp_api().accept_answer(pending, answer).map_err(|error| error.to_string())?;
        Ok(Pair { sender, receiver, address, mid })
    }

    /// Both sides say what they have to say.
    fn exchange(&mut self, now: Instant) {
        for _ in 0..4 {
            let (there, back) = (drain(&mut self.sender, now), drain(&mut self.receiver, now));
            if there.is_empty() && back.is_empty() {
                return;
            }
            there.iter().for_each(|datagram| hand_in(&mut self.receiver, SENDER.into(), self.address, datagram, now));
            back.iter().for_each(|datagram| hand_in(&mut self.sender, self.address, SENDER.into(), datagram, now));
        }
    }

    fn send(&mut self, seq: u64, payload: &Arc<[u8]>, now: Instant) {
        let Some(pt) = self.sender.codec_config().params().iter().find(|p| p.spec().codec == Codec::Vp8).map(|p| p.pt()) else { return };
        let mut direct = self.sender.direct_api();
        if let Some(stream) = direct.stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(RtpWrite::new(pt, seq.into(), seq as u32 * 450, now, payload.clone()).marker(true));
        }
        let _ = self.sender.handle_input(Input::Timeout(now));
        loop {
            match self.sender.poll_output() {
                Ok(Output::Timeout(at)) if at > now => return,
                Ok(Output::Timeout(_)) => drop(self.sender.handle_input(Input::Timeout(now))),
                Ok(Output::Transmit(transmit)) => drop(std::hint::black_box(transmit)),
                Ok(Output::Event(_)) => {}
                Err(_) => return,
            }
        }
    }
}

fn drain(rtc: &mut Rtc, now: Instant) -> Vec<Vec<u8>> {
    let mut out = vec![];
    // An error shows as a connection that does not come about.
    let _ = rtc.handle_input(Input::Timeout(now));
    loop {
        match rtc.poll_output() {
            Ok(Output::Timeout(at)) if at > now => return out,
            Ok(Output::Timeout(_)) => drop(rtc.handle_input(Input::Timeout(now))),
            Ok(Output::Transmit(transmit)) => out.push(transmit.contents.to_vec()),
            Ok(Output::Event(_)) => {}
            Err(_) => return out,
        }
    }
}

fn hand_in(rtc: &mut Rtc, from: SocketAddr, to: SocketAddr, datagram: &[u8], now: Instant) {
    if let Ok(receive) = Receive::new(Protocol::Udp, from, to, datagram) {
        let _ = rtc.handle_input(Input::Receive(now, receive));
    }
}
