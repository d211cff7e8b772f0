// SPDX-License-Identifier: GPL-2.0

//! Cases for random numbers, yielding, and signals whose default action is nothing.

use crate::{
    case::Topic,
    sys::{
        self,
        raw, //
    },
};

pub(crate) fn cases() {
    let topic = Topic("random_get");
    let (mut a, mut b) = ([0; 64], [0; 64]);
    topic.is("64 bytes", sys::random_get(&mut a), "ok");
    topic.is("64 more", sys::random_get(&mut b), "ok");
    topic.is("they differ", a != b && a != [0; 64], "yes");
    topic.is("0 bytes", sys::random_get(&mut []), "ok");
    let mut many = vec![0; 1 << 20];
    topic.is("a mebibyte", sys::random_get(&mut many), "ok");
    topic.is("all of a mebibyte is random", many.rchunks(64).all(|piece| piece.iter().any(|byte| *byte != 0)), "yes");

    let topic = Topic("sched_yield");
    topic.is("once", sys::done(raw::sched_yield()), "ok");

    let topic = Topic("proc_raise");
    for (signal, name) in [(0, "none"), (16, "chld"), (17, "cont"), (22, "urg"), (27, "winch")] {
        topic.is(name, sys::done(raw::proc_raise(signal)), "ok");
    }
    for (signal, name) in [(18, "stop"), (19, "tstp"), (20, "ttin"), (21, "ttou")] {
        topic.is(name, sys::done(raw::proc_raise(signal)), "notsup");
    }
    topic.is("signal 31", sys::done(raw::proc_raise(31)), "inval");
    topic.is("the largest signal", sys::done(raw::proc_raise(u32::MAX)), "inval");
}
