// SPDX-License-Identifier: GPL-2.0

//! Policy: which modules may be loaded and started, who signed them, and the records of it.

pub(crate) mod audit;
pub(crate) mod denied;
pub(crate) mod identity;
pub(crate) mod keyring;
pub(crate) mod verify;
