// SPDX-License-Identifier: GPL-2.0

//! The keyring `.kwasmi`: certificates of those whose signatures count.
//!
//! As fs-verity's: root adds X.509 certificates (`keyctl padd asymmetric`), and may then seal it (`keyctl
//! restrict_keyring`).
//!
//! C headers: [`include/linux/key.h`](srctree/include/linux/key.h),
//! [`include/keys/asymmetric-type.h`](srctree/include/keys/asymmetric-type.h)

use crate::{
    bindings::{
        self as kwasmi_bindings,
        public_key, //
    },
    host::credentials,
    signing::cms::Signer, //
};
use core::{
    ffi::c_void,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    error::{
        code::ENOKEY,
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// Root looks at it, adds to it and seals it; the kernel finds keys in it.
const PERMISSIONS: bindings::key_perm_t = bindings::KEY_POS_SEARCH
    | bindings::KEY_USR_VIEW
    | bindings::KEY_USR_READ
    | bindings::KEY_USR_WRITE
    | bindings::KEY_USR_SEARCH
    | bindings::KEY_USR_SETATTR;

/// The keyring, for those who look for a key in it; null before there is one, and after.
static SHARED: Atomic<*mut c_void> = Atomic::new(ptr::null_mut());

/// The keyring. There is one, for as long as the device can be used.
pub(crate) struct Keyring {
    _ring: Key,
}

/// A reference to a key.
///
/// # Invariants
///
/// `key` is referenced.
pub(crate) struct Key {
    key: NonNull<bindings::key>,
}

// SAFETY: Any task may use a key and give up a reference to it.
unsafe impl Send for Key {}
// SAFETY: As above.
unsafe impl Sync for Key {}

impl Keyring {
    /// Makes the keyring. Called once.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let cred = credentials::current();
        // SAFETY: The name is static, the credentials are referenced. Nothing restricts it yet, and it is in no other.
        let ring = from_err_ptr(unsafe {
            bindings::keyring_alloc(
                kernel::str::as_char_ptr_in_const_context(c".kwasmi"),
                bindings::kuid_t { val: 0 },
                bindings::kgid_t { val: 0 },
                cred.as_ptr(),
                PERMISSIONS,
                bindings::KEY_ALLOC_NOT_IN_QUOTA as c_ulong,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        })?;
        // INVARIANT: `keyring_alloc` gave us a reference.
        let ring = Key { key: NonNull::new(ring).ok_or(ENOMEM)? };
        SHARED.store(ring.key.as_ptr().cast(), Relaxed);
        Ok(Self { _ring: ring })
    }

    /// Where it is. The device is open, or this is null.
    pub(crate) fn as_ptr() -> *mut bindings::key {
        SHARED.load(Relaxed).cast()
    }

    /// Its serial number.
    pub(crate) fn serial() -> i32 {
        NonNull::new(Self::as_ptr()).map_or(0, |ring| {
            // SAFETY: It is there for as long as the device is open; the number does not change.
            unsafe { (*ring.as_ptr()).serial }
        })
    }

    /// The key of `signer` in it.
    ///
    /// # Errors
    ///
    /// `ENOKEY`, `ENOMEM`.
    pub(crate) fn find(signer: &Signer<'_>) -> Result<Key> {
        let ring = NonNull::new(Self::as_ptr()).ok_or(ENOKEY)?;
        let id = KeyId::new(signer)?;
        // SAFETY: The keyring is there for as long as the device is open, and the identifier lives during the call.
        let found = unsafe {
            kwasmi_bindings::find_asymmetric_key(ring.as_ptr(), id.id.as_ptr(), ptr::null(), ptr::null(), false)
        };
        match from_err_ptr(found) {
            // INVARIANT: `find_asymmetric_key` gave us a reference.
            Ok(key) => Ok(Key { key: NonNull::new(key).ok_or(ENOKEY)? }),
            Err(error) if error == ENOMEM => Err(ENOMEM),
            // A key that was revoked or has expired counts as little as none.
            Err(_) => Err(ENOKEY),
        }
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        SHARED.store(ptr::null_mut(), Relaxed);
    }
}

impl Key {
    /// What the kernel shows it as: the certificate's subject and identifier.
    pub(crate) fn description(&self) -> &CStr {
        // SAFETY: By the invariant the key is there; which variant of the union it is does not matter for what is common.
        let text = unsafe { (*self.key.as_ptr()).__bindgen_anon_3.__bindgen_anon_1.description };
        if text.is_null() {
            return c"";
        }
        // SAFETY: A key's description is a text with a NUL at its end, which stays with the key.
        unsafe { CStr::from_char_ptr(text) }
    }

    /// The name of its algorithm, such as `ecdsa-nist-p256`.
    pub(crate) fn algorithm(&self) -> &CStr {
        // SAFETY: By the invariant the key is there, and `find_asymmetric_key` finds keys of the asymmetric type only, whose
        // first word of payload is the public key.
        let public: *const public_key = unsafe { (*self.key.as_ptr()).__bindgen_anon_4.payload.data[0] }.cast();
        if public.is_null() {
            return c"";
        }
        // SAFETY: The payload stays for as long as the key is referenced.
        let name = unsafe { (*public).pkey_algo };
        if name.is_null() {
            return c"";
        }
        // SAFETY: The name of an algorithm is a static text.
        unsafe { CStr::from_char_ptr(name) }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: By the invariant the reference is ours.
        unsafe { bindings::key_put(self.key.as_ptr()) };
    }
}

/// What a key is looked for by.
///
/// # Invariants
///
/// `id` came from `asymmetric_key_generate_id`.
struct KeyId {
    id: NonNull<kwasmi_bindings::asymmetric_key_id>,
}

impl KeyId {
    fn new(signer: &Signer<'_>) -> Result<Self> {
        let (first, second) = match signer {
            Signer::Certificate { issuer, serial } => (*serial, *issuer),
            Signer::Key(id) => (*id, [].as_slice()),
        };
        // SAFETY: Both are addresses and lengths of slices, which are copied.
        let id = from_err_ptr(unsafe {
            kwasmi_bindings::asymmetric_key_generate_id(
                first.as_ptr().cast(),
                first.len(),
                second.as_ptr().cast(),
                second.len(),
            )
        })?;
        // INVARIANT: It was just made.
        Ok(Self { id: NonNull::new(id).ok_or(ENOMEM)? })
    }
}

impl Drop for KeyId {
    fn drop(&mut self) {
        // SAFETY: By the invariant it was allocated with kmalloc, and is ours.
        unsafe { bindings::kfree(self.id.as_ptr().cast()) };
    }
}

/// Has the kernel check that `signature`, a CMS message, is one of `signed` by a key in `ring`.
///
/// # Errors
///
/// Those of `verify_pkcs7_signature`.
///
/// # Safety
///
/// `ring` is a keyring, or one of the values that `verify_pkcs7_signature` takes for one.
pub(crate) unsafe fn verify_pkcs7(signed: &[u8], signature: &[u8], ring: *mut bindings::key) -> Result {
    // SAFETY: Addresses and lengths are those of slices; the caller guarantees the keyring.
    to_result(unsafe {
        kwasmi_bindings::verify_pkcs7_signature(
            signed.as_ptr().cast(),
            signed.len(),
            signature.as_ptr().cast(),
            signature.len(),
            ring,
            kwasmi_bindings::key_being_used_for_VERIFYING_UNSPECIFIED_SIGNATURE,
            None,
            ptr::null_mut(),
        )
    })
}
