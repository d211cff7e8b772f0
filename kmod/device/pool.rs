// SPDX-License-Identifier: GPL-2.0

//! Ioctls of pool descriptors.

use super::module;
use crate::{
    anon_file::{
        self,
        AnonFile, //
    },
    instance::{
        Callee,
        Outcome,
        Pool,
        Ring,
        CALL,
        FUNCTION,
        KILL,
        PUBLISH,
        RING, //
    },
    ioctl::{
        self,
        Argument, //
    },
    module::Module,
    service::{
        Publication,
        Published,
        Target, //
    },
    watch::Sink, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
};

const FINISH: u32 = ioctl::io(0x9A);

/// Object behind a pool descriptor.
#[pin_data]
pub(super) struct PoolFile {
    pool: Arc<Pool>,
    /// Name of the pool, if it is a service.
    published: SetOnce<Published>,
    /// Serialises `KWASMI_IOC_PUBLISH` and `KWASMI_IOC_FINISH`.
    #[pin]
    publishing: Mutex<()>,
}

impl PoolFile {
    /// Implements `KWASMI_IOC_POOL`.
    pub(super) fn create(module: Arc<Module>) -> Result<isize> {
        let pool = Pool::new(module)?;
        let this = Arc::pin_init(
            pin_init!(Self {
                pool,
                published: SetOnce::new(),
                publishing <- new_mutex!((), "kwasmi::PoolFile::publishing"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        anon_file::install(this)
    }

    /// Implements `KWASMI_IOC_PUBLISH`.
    fn publish(&self, arg: &Argument) -> Result<isize> {
        let publication = Publication::from_user(arg)?;
        // Declared before the guard of the lock, so that it is dropped after it.
        let _former;
        let _guard = self.publishing.lock();
        if self.published.as_ref().is_some() {
            return Err(EBUSY);
        }
        self.pool.check_open()?;
        let identity = self.pool.module()?.shared_identity();
        let target = Target::Pool(self.pool.clone());
        let (published, former) = publication.publish(identity, target, false)?;
        _former = former;
        self.published.populate(published);
        Ok(0)
    }

    /// Implements `KWASMI_IOC_FINISH`.
    fn finish(&self) -> Result<isize> {
        // With the lock held, so that `KWASMI_IOC_PUBLISH` does not name a pool that has ended.
        let _guard = self.publishing.lock();
        let last = self.pool.finish();
        if let Some(published) = self.published.as_ref() {
            published.end(last.unwrap_or_else(Outcome::killed));
        }
        Ok(0)
    }
}

impl AnonFile for PoolFile {
    const NAME: &'static CStr = c"[kwasmi-pool]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        let arg = Argument::new(arg);
        match cmd {
            module::START => module::start(&this.pool.module()?, Some(&this.pool), &arg),
            PUBLISH => this.publish(&arg),
            FINISH => this.finish(),
            KILL => {
                this.pool.kill();
                Ok(0)
            }
            FUNCTION => this.pool.function(&arg),
            CALL => this.pool.call(&arg),
            RING => Ring::create(Callee::Pool(this.pool.clone()), &arg),
            _ => Err(ENOTTY),
        }
    }

    /// Ends the instances, and removes the name.
    fn close(this: ArcBorrow<'_, Self>) {
        this.pool.close();
        if let Some(published) = this.published.as_ref() {
            published.close();
        }
    }

    fn list_counters(&self, sink: Sink<'_>) -> Result {
        self.pool.list_counters(sink)
    }
}
