// SPDX-License-Identifier: GPL-2.0

//! Calls of a reactor's functions, and their results.

use super::{
    Guest,
    Progress,
    narrowed, //
};
use crate::{
    compiled::{
        native::{
            self,
            GuestStack, //
        },
        native_module::is_wide, //
    },
    ffi::Status,
    host::Host,
    outcome::{
        Entry,
        Outcome,
        Usage, //
    },
};
use wasmparser::ValType;

impl<H: Host + Send + Sync + 'static> Guest<H> {
    /// Begins a call of a reactor that is idle: [`Guest::run`] runs the function with the number
    /// of [`Native::callable`].
    ///
    /// # Errors
    ///
    /// [`Status::NoFunction`] if the guest is not idle or there is no such function;
    /// [`Status::Argument`] if the number of arguments is wrong; [`Status::NoMemory`] or
    /// [`Status::Limited`] if the reactor rests and its stack cannot be allocated.
    pub(crate) fn begin(&mut self, number: u32, args: &[u64]) -> Result<(), Status> {
        let Progress::Idle = self.progress else { return Err(Status::NoFunction) };
        if self.begun != Some(number) {
            self.prepare(number)?;
        }
        if self.args.len() != args.len() {
            return Err(Status::Argument);
        }
        if self.stack.is_none() {
            self.stack = Some(GuestStack::new(self.native.stack).map_err(|error| error.status().0)?);
        }
        for ((_, place), arg) in self.args.iter_mut().zip(args) {
            *place = *arg;
        }
        self.has_returned = false;
        self.repeatable = None;
        self.progress = Progress::Call(0);
        Ok(())
    }

    /// Stores the types and the entry of function `number` for [`Guest::begin`] and
    /// [`Guest::repeat`].
    ///
    /// # Errors
    ///
    /// [`Status::NoFunction`] if there is no such function.
    fn prepare(&mut self, number: u32) -> Result<(), Status> {
        self.repeatable = None;
        let (index, ty) = self.native.called(number).ok_or(Status::NoFunction)?;
        let typed = |ty: &ValType| (is_wide(*ty).unwrap_or(true), 0);
        self.args.clear();
        self.args.extend(ty.params.iter().map(typed));
        self.results.clear();
        self.results.extend(ty.results.iter().map(typed));
        self.entries.clear();
        self.entries.push((index, Entry::Invoked));
        self.begun = Some(number);
        Ok(())
    }

    /// Calls the function of the previous call again, without the setup of [`Guest::begin`] and
    /// [`Guest::run`]. Returns `None`, without an effect, if the call needs that setup.
    pub(crate) fn repeat(&mut self, number: u32, args: &[u64], mut report: impl FnMut(Usage)) -> Option<Outcome> {
        if self.repeatable != Some(number) || self.args.len() != args.len() {
            return None;
        }
        let (stack, (function, _)) = (self.stack.as_mut()?, self.entries.first()?);
        for (index, ((is_wide, _), arg)) in self.args.iter().zip(args).enumerate() {
            self.instance.set_arg(index, narrowed(*is_wide, *arg));
        }
        stack.prepare(&self.native.code, *function, self.native.declarations.imported, &mut self.instance);
        let number = self.switch(0);
        match native::returned(&self.instance, number) {
            Some(first) if self.instance.uncaught().is_none() => {
                self.take_results(first);
                self.has_returned = true;
                Some(Outcome::Idle)
            }
            _ => {
                self.has_returned = false;
                self.repeatable = None;
                self.progress = Progress::Within(0, native::request(&self.instance, number));
                Some(self.proceed(&mut report))
            }
        }
    }

    /// Keeps the results of a function, of which the first is `first`. The others are in the
    /// context.
    pub(super) fn take_results(&mut self, first: u64) {
        for (index, (is_wide, result)) in self.results.iter_mut().enumerate() {
            *result = narrowed(*is_wide, if index == 0 { first } else { self.instance.arg(index) });
        }
    }

    /// Implements [`Instance::results`](crate::instance::Instance::results).
    pub(crate) fn results(&self, results: &mut [u64]) -> usize {
        if !self.has_returned {
            return 0;
        }
        for (place, (_, result)) in results.iter_mut().zip(&self.results) {
            *place = *result;
        }
        self.results.len()
    }
}
