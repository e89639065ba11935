//! Copies the SRTP keying material out of DTLS as it is exported, and looks at SCTP before str0m does.
//!
//! str0m keeps the keys to itself; what slots send is encrypted by us with the same keys. So the DTLS provider that str0m is given wraps str0m's
//! own and notes what it exports. `new_dtls` runs inside `RtcConfig::build`, on the same thread, so a thread-local hands the place over.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile};
use str0m::crypto::{CryptoError, CryptoProvider};
use str0m::{Rtc, RtcConfig};

use super::sctp::Gate;

/// What DTLS exported for one connection. Its `Debug` shows no key.
pub struct Exported {
    /// Client key, server key, client salt, server salt.
    pub material: Vec<u8>,
    /// Which transform.
    pub profile: SrtpProfile,
    /// We were the DTLS client, so the client half is ours to write with.
    pub active: bool,
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported").field("profile", &self.profile).field("active", &self.active).finish_non_exhaustive()
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        self.material.fill(0);
    }
}

/// Where one connection's keys will be found once the handshake is done.
#[derive(Clone, Debug, Default)]
pub struct KeySlot(Arc<Mutex<Option<Exported>>>);

impl KeySlot {
    /// The keys, once.
    pub fn take(&self) -> Option<Exported> {
        self.0.lock().ok()?.take()
    }

    fn put(&self, exported: Exported) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(exported);
        }
    }
}

thread_local!(static NEXT: RefCell<Option<KeySlot>> = const { RefCell::new(None) });

/// Builds the `Rtc` with our provider, and says where its keys will be.
pub fn build(config: RtcConfig, now: Instant) -> (Rtc, KeySlot) {
    let slot = KeySlot::default();
    NEXT.set(Some(slot.clone()));
    let rtc = config.set_crypto_provider(provider()).build(now);
    debug_assert!(NEXT.take().is_none(), "new_dtls runs in build()");
    (rtc, slot)
}

/// A certificate for [`RtcConfig::set_dtls_cert`]: one serves the whole process, since making one costs a millisecond a join.
pub fn certificate() -> Option<DtlsCert> {
    provider().dtls_provider.generate_certificate()
}

fn provider() -> Arc<CryptoProvider> {
    static TAP: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    TAP.get_or_init(|| {
        let inner = str0m::crypto::from_feature_flags();
        let tap: &'static Tap = Box::leak(Box::new(Tap(inner.dtls_provider))); // once a process
        Arc::new(CryptoProvider { dtls_provider: tap, ..inner })
    })
    .clone()
}

#[derive(Debug)]
struct Tap(&'static dyn DtlsProvider);

impl DtlsProvider for Tap {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = self.0.new_dtls(cert, now, version, mtu)?;
        Ok(Box::new(TapInstance { inner, slot: NEXT.take().unwrap_or_default(), gate: Gate::default() }))
    }

    fn is_test(&self) -> bool {
        self.0.is_test()
    }
}

#[derive(Debug)]
struct TapInstance {
    inner: Box<dyn DtlsInstance>,
    slot: KeySlot,
    gate: Gate,
}

impl DtlsInstance for TapInstance {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let out = self.inner.poll_output(buf);
        if let DtlsOutput::ApplicationData(data) = &out
            && !self.gate.admit(data)
        {
            return DtlsOutput::ApplicationData(&[]);
        }
        if let DtlsOutput::KeyingMaterial(material, profile) = &out {
            self.slot.put(Exported { material: material.to_vec(), profile: *profile, active: self.inner.is_active() });
        }
        out
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
