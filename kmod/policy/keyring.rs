// SPDX-License-Identifier: GPL-2.0

//! Keyring `.kwasmi`: the certificates whose signatures are accepted.
//!
//! Like the keyring of fs-verity: root adds X.509 certificates (`keyctl padd asymmetric`),
//! and may seal it (`keyctl restrict_keyring`).
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

/// Permissions of the keyring: root views, extends and seals it; the kernel searches it.
const PERMISSIONS: bindings::key_perm_t = bindings::KEY_POS_SEARCH
    | bindings::KEY_USR_VIEW
    | bindings::KEY_USR_READ
    | bindings::KEY_USR_WRITE
    | bindings::KEY_USR_SEARCH
    | bindings::KEY_USR_SETATTR;

/// Keyring for lookups; null before it is created and after it is dropped.
static SHARED: Atomic<*mut c_void> = Atomic::new(ptr::null_mut());

/// Owner of the keyring. There is one, which exists while the device is open.
pub(crate) struct Keyring {
    _ring: Key,
}

/// Reference to a key.
///
/// # Invariants
///
/// This value owns a reference to `key`.
pub(crate) struct Key {
    key: NonNull<bindings::key>,
}

// SAFETY: Any task may use a key and drop a reference to it.
unsafe impl Send for Key {}
// SAFETY: Several tasks may use a key at once: this file only reads fields that do not change.
unsafe impl Sync for Key {}

impl Keyring {
    /// Creates the keyring. Must be called once.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    pub(crate) fn new() -> Result<Self> {
        let cred = credentials::current();
        // SAFETY: `keyring_alloc` requires a NUL-terminated description, which it copies, and
        // credentials, which `cred` references. It accepts null for no restriction and no
        // destination keyring.
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
        // INVARIANT: `keyring_alloc` returned a reference, which the value takes over.
        let ring = Key {
            key: NonNull::new(ring).ok_or(ENOMEM)?,
        };
        SHARED.store(ring.key.as_ptr().cast(), Relaxed);
        Ok(Self { _ring: ring })
    }

    /// Returns the address of the keyring. It is not null while the device is open.
    pub(crate) fn as_ptr() -> *mut bindings::key {
        SHARED.load(Relaxed).cast()
    }

    /// Returns the serial number of the keyring; 0 if there is none.
    pub(crate) fn serial() -> i32 {
        NonNull::new(Self::as_ptr()).map_or(0, |ring| {
            // SAFETY: The keyring exists while the device is open, and an ioctl of the device is
            // the only caller. The serial number does not change.
            unsafe { (*ring.as_ptr()).serial }
        })
    }

    /// Returns the key of `signer` in the keyring.
    ///
    /// # Errors
    ///
    /// `ENOKEY` if the keyring has no valid key of `signer`; `ENOMEM`.
    pub(crate) fn find(signer: &Signer<'_>) -> Result<Key> {
        let ring = NonNull::new(Self::as_ptr()).ok_or(ENOKEY)?;
        let id = KeyId::new(signer)?;
        // SAFETY: `find_asymmetric_key` requires a keyring and an identifier; both stay valid
        // during the call: the keyring exists while the device is open, and `id` owns the
        // identifier. It accepts null for the other identifiers.
        let found = unsafe {
            kwasmi_bindings::find_asymmetric_key(
                ring.as_ptr(),
                id.id.as_ptr(),
                ptr::null(),
                ptr::null(),
                false,
            )
        };
        match from_err_ptr(found) {
            // INVARIANT: `find_asymmetric_key` returned a reference, which the value takes over.
            Ok(key) => Ok(Key {
                key: NonNull::new(key).ok_or(ENOKEY)?,
            }),
            Err(error) if error == ENOMEM => Err(ENOMEM),
            // A revoked or expired key is treated as a missing one.
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
    /// Returns the description of the key: subject and identifier of the certificate.
    pub(crate) fn description(&self) -> &CStr {
        // SAFETY: By the type invariant the key is referenced. Both variants of the union begin
        // with the same fields, of which `description` is one.
        let text = unsafe {
            (*self.key.as_ptr())
                .__bindgen_anon_3
                .__bindgen_anon_1
                .description
        };
        if text.is_null() {
            return c"";
        }
        // SAFETY: The description of a key is a NUL-terminated string that lives as long as the
        // key, which `self` references.
        unsafe { CStr::from_char_ptr(text) }
    }

    /// Returns the name of the key's algorithm, such as `ecdsa-nist-p256`.
    pub(crate) fn algorithm(&self) -> &CStr {
        // SAFETY: By the type invariant the key is referenced. `find_asymmetric_key` returns only
        // asymmetric keys, whose first payload word is the address of the public key.
        let public: *const public_key =
            unsafe { (*self.key.as_ptr()).__bindgen_anon_4.payload.data[0] }.cast();
        if public.is_null() {
            return c"";
        }
        // SAFETY: The payload of a key exists as long as the key is referenced, and `public` is not
        // null.
        let name = unsafe { (*public).pkey_algo };
        if name.is_null() {
            return c"";
        }
        // SAFETY: The name of an algorithm is a static NUL-terminated string.
        unsafe { CStr::from_char_ptr(name) }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: `key_put` requires a reference, which it consumes. By the type invariant `self`
        // owns one.
        unsafe { bindings::key_put(self.key.as_ptr()) };
    }
}

/// Identifier that keys are found by.
///
/// # Invariants
///
/// `id` was allocated by `asymmetric_key_generate_id`, and this value owns it.
struct KeyId {
    id: NonNull<kwasmi_bindings::asymmetric_key_id>,
}

impl KeyId {
    fn new(signer: &Signer<'_>) -> Result<Self> {
        let (first, second) = match signer {
            Signer::Certificate { issuer, serial } => (*serial, *issuer),
            Signer::Key(id) => (*id, [].as_slice()),
        };
        // SAFETY: `asymmetric_key_generate_id` requires two readable byte ranges, which it copies.
        // Addresses and lengths are those of slices.
        let id = from_err_ptr(unsafe {
            kwasmi_bindings::asymmetric_key_generate_id(
                first.as_ptr().cast(),
                first.len(),
                second.as_ptr().cast(),
                second.len(),
            )
        })?;
        // INVARIANT: `asymmetric_key_generate_id` allocated the identifier, which the value takes
        // over.
        Ok(Self {
            id: NonNull::new(id).ok_or(ENOMEM)?,
        })
    }
}

impl Drop for KeyId {
    fn drop(&mut self) {
        // SAFETY: `kfree` requires memory of kmalloc that is not freed yet. By the type invariant
        // `id` was allocated by `asymmetric_key_generate_id`, which uses kmalloc, and `self` owns
        // it.
        unsafe { bindings::kfree(self.id.as_ptr().cast()) };
    }
}

/// Verifies that `signature`, a CMS message, is a signature over `signed` by a key in `ring`.
///
/// # Errors
///
/// Errors of `verify_pkcs7_signature` in `certs/system_keyring.c`.
///
/// # Safety
///
/// `ring` must be a keyring that stays valid during the call, or one of the special values of
/// `include/linux/verification.h`.
pub(crate) unsafe fn verify_pkcs7(
    signed: &[u8],
    signature: &[u8],
    ring: *mut bindings::key,
) -> Result {
    // SAFETY: `verify_pkcs7_signature` requires two readable byte ranges, whose addresses and
    // lengths are those of slices, and a keyring or special value, which `ring` is by this
    // function's safety requirement.
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
