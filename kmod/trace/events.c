// SPDX-License-Identifier: GPL-2.0
/*
 * Definition of the trace events. The kernel's macros for that exist only in C; kmod/trace/mod.rs
 * uses the events.
 */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "events.h"
