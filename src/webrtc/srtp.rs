//! SRTP and SRTCP for what we send, SRTCP for what we read: RFC 3711 (AES-CM with HMAC-SHA1-80) and RFC 7714 (AES-GCM).
//!
//! The caller numbers: who passes the same (SSRC, index) twice breaks the cipher. `Egress` is the only caller.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use str0m::crypto::dtls::SrtpProfile;

use super::tap::Exported;

/// The longest tag of any profile: what a datagram needs behind its payload.
pub const TAG_MAX: usize = 16;
const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;

/// Both directions of one connection.
pub struct Session {
    /// What we write with.
    pub local: Keys,
    /// What the peer writes with.
    pub remote: Keys,
}

impl Session {
    /// Derives the session keys. `None`: a profile that we do not know, or material of the wrong length.
    pub fn new(exported: &Exported) -> Option<Session> {
        let (key, salt) = match exported.profile {
            SrtpProfile::AEAD_AES_256_GCM => (32, 12),
            SrtpProfile::AEAD_AES_128_GCM => (16, 12),
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
            _ => return None,
        };
        let m = exported.material.get(..2 * (key + salt))?;
        let gcm = salt == 12;
        let client = Keys::new(&m[..key], &m[2 * key..2 * key + salt], gcm).ok()?;
        let server = Keys::new(&m[key..2 * key], &m[2 * key + salt..], gcm).ok()?;
        Some(if exported.active { Session { local: client, remote: server } } else { Session { local: server, remote: client } })
    }
}

/// One direction.
pub enum Keys {
    /// AEAD_AES_128_GCM, AEAD_AES_256_GCM.
    Gcm(Box<Gcm>),
    /// AES128_CM_SHA1_80.
    Cm(Box<Cm>),
}

impl Keys {
    fn new(master: &[u8], salt: &[u8], gcm: bool) -> Result<Keys, Unspecified> {
        Ok(if gcm { Keys::Gcm(Box::new(Gcm::new(master, salt)?)) } else { Keys::Cm(Box::new(Cm::new(master, salt)?)) })
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn tag_len(&self) -> usize {
        match self {
            Keys::Gcm(_) => GCM_TAG,
            Keys::Cm(_) => SHA1_TAG,
        }
    }

    /// Seals in place: `packet` is header, payload, then [`Keys::tag_len`] spare bytes.
    #[inline]
    pub fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Result<(), Unspecified> {
        match self {
            Keys::Gcm(k) => k.seal_rtp(packet, header, ssrc, index),
            Keys::Cm(k) => k.seal_rtp(packet, header, ssrc, index),
        }
    }

    /// SRTP in, plain payload out, for receivers that str0m does not serve. `header`: its bytes; `index`: rollover counter and sequence number.
    /// `None`: not authentic.
    pub fn open_rtp(&self, packet: &[u8], header: usize, ssrc: u32, index: u64) -> Option<Vec<u8>> {
        if packet.len() < header + self.tag_len() {
            return None;
        }
        match self {
            Keys::Gcm(k) => k.open_rtp(packet, header, ssrc, index),
            Keys::Cm(k) => k.open_rtp(packet, header, ssrc, index),
        }
    }

    /// Plain compound packet in, SRTCP out.
    pub fn seal_rtcp(&self, plain: &[u8], index: u32) -> Result<Vec<u8>, Unspecified> {
        match self {
            Keys::Gcm(k) => k.seal_rtcp(plain, index),
            Keys::Cm(k) => k.seal_rtcp(plain, index),
        }
    }

    /// SRTCP in, (index, plain compound packet) out. `None`: not authentic.
    pub fn open_rtcp(&self, packet: &[u8]) -> Option<(u32, Vec<u8>)> {
        match self {
            Keys::Gcm(k) => k.open_rtcp(packet),
            Keys::Cm(k) => k.open_rtcp(packet),
        }
    }
}

/// RFC 3711 4.3.3: AES in counter mode over (salt XOR label) << 16, key derivation rate 0.
fn derive(master: &[u8], salt: &[u8], label: u8, out: &mut [u8]) -> Result<(), Unspecified> {
    let mut x = [0u8; 16];
    x[..salt.len()].copy_from_slice(salt);
    x[7] ^= label;
    out.fill(0);
    let algorithm = if master.len() == 16 { &AES_128 } else { &AES_256 };
    let key = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, master)?)?;
    key.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(x)))?;
    Ok(())
}

#[inline]
fn xor(a: &mut [u8], b: &[u8]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
}

const LABEL_RTP_KEY: u8 = 0;
const LABEL_RTP_AUTH: u8 = 1;
const LABEL_RTP_SALT: u8 = 2;
const LABEL_RTCP_KEY: u8 = 3;
const LABEL_RTCP_AUTH: u8 = 4;
const LABEL_RTCP_SALT: u8 = 5;

/// RFC 7714.
pub struct Gcm {
    rtp: LessSafeKey,
    rtp_salt: [u8; 12],
    rtcp: LessSafeKey,
    rtcp_salt: [u8; 12],
}

impl Gcm {
    fn new(master: &[u8], salt: &[u8]) -> Result<Gcm, Unspecified> {
        let algorithm = if master.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = |label| {
            let mut k = vec![0; master.len()];
            derive(master, salt, label, &mut k)?;
            let key = UnboundKey::new(algorithm, &k)?;
            k.fill(0);
            Ok::<_, Unspecified>(LessSafeKey::new(key))
        };
        let salt12 = |label| {
            let mut s = [0; 12];
            derive(master, salt, label, &mut s)?;
            Ok::<_, Unspecified>(s)
        };
        Ok(Gcm {
            rtp: key(LABEL_RTP_KEY)?,
            rtp_salt: salt12(LABEL_RTP_SALT)?,
            rtcp: key(LABEL_RTCP_KEY)?,
            rtcp_salt: salt12(LABEL_RTCP_SALT)?,
        })
    }

    #[inline]
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut iv = self.rtp_salt;
        xor(&mut iv[2..6], &ssrc.to_be_bytes());
        xor(&mut iv[6..12], &index.to_be_bytes()[2..]); // rollover counter and sequence number
        Nonce::assume_unique_for_key(iv)
    }

    #[inline]
    fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Result<(), Unspecified> {
        let end = packet.len() - GCM_TAG;
        let (aad, rest) = packet.split_at_mut(header);
        let (body, tag) = rest.split_at_mut(end - header);
        let sealed = self.rtp.seal_in_place_separate_tag(self.rtp_nonce(ssrc, index), Aad::from(&*aad), body)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn open_rtp(&self, packet: &[u8], header: usize, ssrc: u32, index: u64) -> Option<Vec<u8>> {
        let (aad, sealed) = packet.split_at(header);
        let mut out = sealed.to_vec();
        self.rtp.open_in_place(self.rtp_nonce(ssrc, index), Aad::from(aad), &mut out).ok()?;
        out.truncate(sealed.len() - GCM_TAG);
        Some(out)
    }

    fn rtcp_nonce(&self, ssrc: &[u8], index: u32) -> Nonce {
        let mut iv = self.rtcp_salt;
        xor(&mut iv[2..6], ssrc);
        xor(&mut iv[8..12], &index.to_be_bytes());
        Nonce::assume_unique_for_key(iv)
    }

    fn seal_rtcp(&self, plain: &[u8], index: u32) -> Result<Vec<u8>, Unspecified> {
        let e_index = (0x8000_0000 | index).to_be_bytes();
        let mut aad = [0; 12];
        aad[..8].copy_from_slice(&plain[..8]);
        aad[8..].copy_from_slice(&e_index);
        let mut out = plain.to_vec();
        let nonce = self.rtcp_nonce(&plain[4..8], index);
        let tag = self.rtcp.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[8..])?;
        out.extend_from_slice(tag.as_ref());
        out.extend_from_slice(&e_index);
        Ok(out)
    }

    fn open_rtcp(&self, packet: &[u8]) -> Option<(u32, Vec<u8>)> {
        if packet.len() < 8 + GCM_TAG + 4 {
            return None;
        }
        let at = packet.len() - 4;
        let e_index: [u8; 4] = packet[at..].try_into().ok()?;
        if e_index[0] & 0x80 == 0 {
            return None; // SRTCP without encryption does not occur in WebRTC
        }
        let index = u32::from_be_bytes(e_index) & 0x7fff_ffff;
        let mut aad = [0; 12];
        aad[..8].copy_from_slice(&packet[..8]);
        aad[8..].copy_from_slice(&e_index);
        let mut out = packet[..at].to_vec();
        let nonce = self.rtcp_nonce(&packet[4..8], index);
        self.rtcp.open_in_place(nonce, Aad::from(aad), &mut out[8..]).ok()?;
        out.truncate(at - GCM_TAG);
        Some((index, out))
    }
}

/// RFC 3711 with AES-128 in counter mode and an 80-bit tag: what clients without AES-GCM negotiate.
pub struct Cm {
    rtp: EncryptingKey,
    rtp_salt: [u8; 14],
    rtp_auth: hmac::Key,
    rtcp: EncryptingKey,
    rtcp_salt: [u8; 14],
    rtcp_auth: hmac::Key,
}

impl Cm {
    fn new(master: &[u8], salt: &[u8]) -> Result<Cm, Unspecified> {
        let key = |label| {
            let mut k = [0; 16];
            derive(master, salt, label, &mut k)?;
            EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &k)?)
        };
        let auth = |label| {
            let mut k = [0; 20];
            derive(master, salt, label, &mut k)?;
            Ok::<_, Unspecified>(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &k))
        };
        let salt14 = |label| {
            let mut s = [0; 14];
            derive(master, salt, label, &mut s)?;
            Ok::<_, Unspecified>(s)
        };
        Ok(Cm {
            rtp: key(LABEL_RTP_KEY)?,
            rtp_salt: salt14(LABEL_RTP_SALT)?,
            rtp_auth: auth(LABEL_RTP_AUTH)?,
            rtcp: key(LABEL_RTCP_KEY)?,
            rtcp_salt: salt14(LABEL_RTCP_SALT)?,
            rtcp_auth: auth(LABEL_RTCP_AUTH)?,
        })
    }

    /// RFC 3711 4.1.1: salt << 16 ⊕ SSRC << 64 ⊕ index << 16.
    fn iv(salt: &[u8; 14], ssrc: u32, index: u64) -> EncryptionContext {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        EncryptionContext::Iv128(FixedLength::from(iv))
    }

    fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Result<(), Unspecified> {
        let end = packet.len() - SHA1_TAG;
        self.rtp.less_safe_encrypt(&mut packet[header..end], Cm::iv(&self.rtp_salt, ssrc, index))?;
        let tag = self.rtp_tag(&packet[..end], index);
        packet[end..].copy_from_slice(&tag.as_ref()[..SHA1_TAG]);
        Ok(())
    }

    fn open_rtp(&self, packet: &[u8], header: usize, ssrc: u32, index: u64) -> Option<Vec<u8>> {
        let (body, tag) = packet.split_at(packet.len() - SHA1_TAG);
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.rtp_tag(body, index).as_ref()[..SHA1_TAG], tag).ok()?;
        let mut out = body[header..].to_vec();
        self.rtp.less_safe_encrypt(&mut out, Cm::iv(&self.rtp_salt, ssrc, index)).ok()?;
        Some(out)
    }

    /// Over the packet and the rollover counter.
    fn rtp_tag(&self, body: &[u8], index: u64) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.rtp_auth);
        mac.update(body);
        mac.update(&((index >> 16) as u32).to_be_bytes());
        mac.sign()
    }

    fn seal_rtcp(&self, plain: &[u8], index: u32) -> Result<Vec<u8>, Unspecified> {
        let ssrc = u32::from_be_bytes([plain[4], plain[5], plain[6], plain[7]]);
        let mut out = plain.to_vec();
        self.rtcp.less_safe_encrypt(&mut out[8..], Cm::iv(&self.rtcp_salt, ssrc, index.into()))?;
        out.extend_from_slice(&(0x8000_0000 | index).to_be_bytes());
        let tag = hmac::sign(&self.rtcp_auth, &out);
        out.extend_from_slice(&tag.as_ref()[..SHA1_TAG]);
        Ok(out)
    }

    fn open_rtcp(&self, packet: &[u8]) -> Option<(u32, Vec<u8>)> {
        if packet.len() < 8 + 4 + SHA1_TAG {
            return None;
        }
        let (body, tag) = packet.split_at(packet.len() - SHA1_TAG);
        let expected = hmac::sign(&self.rtcp_auth, body);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected.as_ref()[..SHA1_TAG], tag).ok()?;
        let (body, e_index) = body.split_at(body.len() - 4);
        if e_index[0] & 0x80 == 0 {
            return None;
        }
        let index = u32::from_be_bytes(e_index.try_into().ok()?) & 0x7fff_ffff;
        let ssrc = u32::from_be_bytes(body[4..8].try_into().ok()?);
        let mut out = body.to_vec();
        // Counter mode decrypts by encrypting.
        self.rtcp.less_safe_encrypt(&mut out[8..], Cm::iv(&self.rtcp_salt, ssrc, index.into())).ok()?;
        Some((index, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(s: &str) -> Vec<u8> {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn key_derivation_of_rfc_3711_b_3() {
        let (key, salt) = (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE6"));
        let mut out = [0; 16];
        derive(&key, &salt, LABEL_RTP_KEY, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut out = [0; 14];
        derive(&key, &salt, LABEL_RTP_SALT, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let mut out = [0; 20];
        derive(&key, &salt, LABEL_RTP_AUTH, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    fn sessions(profile: SrtpProfile, len: usize) -> (Session, Session) {
        let material: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let side = |active| Session::new(&Exported { material: material.clone(), profile, active }).unwrap();
        (side(true), side(false))
    }

    #[test]
    fn srtcp_goes_both_ways_and_refuses_what_was_changed() {
        let profiles = [(SrtpProfile::AEAD_AES_256_GCM, 88), (SrtpProfile::AEAD_AES_128_GCM, 56), (SrtpProfile::AES128_CM_SHA1_80, 60)];
        for (profile, len) in profiles {
            let (client, server) = sessions(profile, len);
            let plain: Vec<u8> = [0x81, 201, 0, 7].into_iter().chain(4..32).collect();
            let sealed = client.local.seal_rtcp(&plain, 7).unwrap();
            assert_eq!(server.remote.open_rtcp(&sealed), Some((7, plain.clone())));
            assert_eq!(client.remote.open_rtcp(&sealed), None, "the other direction has other keys");
            for at in 0..sealed.len() {
                let mut bad = sealed.clone();
                bad[at] ^= 1;
                assert_eq!(server.remote.open_rtcp(&bad), None, "{profile:?}: byte {at}");
            }
            for len in 0..sealed.len() {
                assert_eq!(server.remote.open_rtcp(&sealed[..len]), None);
            }
        }
    }

    #[test]
    fn srtp_opens_with_its_own_index_and_ssrc_only() {
        let profiles = [(SrtpProfile::AEAD_AES_256_GCM, 88), (SrtpProfile::AEAD_AES_128_GCM, 56), (SrtpProfile::AES128_CM_SHA1_80, 60)];
        for (profile, len) in profiles {
            let (client, server) = sessions(profile, len);
            let plain: Vec<u8> = (0..40).collect();
            let mut sealed = [&plain[..], &vec![0; client.local.tag_len()]].concat();
            client.local.seal_rtp(&mut sealed, 12, 9, 70_000).unwrap();
            assert_eq!(server.remote.open_rtp(&sealed, 12, 9, 70_000).as_deref(), Some(&plain[12..]));
            assert_eq!(server.remote.open_rtp(&sealed, 12, 9, 70_000 - 65_536), None, "{profile:?}: another rollover");
            assert_eq!(server.remote.open_rtp(&sealed, sealed.len() + 1, 9, 70_000), None, "{profile:?}: no payload");
            sealed[20] ^= 1;
            assert_eq!(server.remote.open_rtp(&sealed, 12, 9, 70_000), None, "{profile:?}: changed");
        }
    }

    #[test]
    fn material_that_is_too_short_gives_no_session() {
        let exported = Exported { material: vec![0; 10], profile: SrtpProfile::AEAD_AES_128_GCM, active: true };
        assert!(Session::new(&exported).is_none());
    }
}
