/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of kwasmi: /sys/kernel/tracing/events/kwasmi. docs/stats.md describes them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kwasmi

#if !defined(_KWASMI_TRACE_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _KWASMI_TRACE_EVENTS_H

#include <linux/tracepoint.h>

#define kwasmi_show_end(status)			\
	__print_symbolic(status,		\
		{ 0, "exited" },		\
		{ 1, "trapped" },		\
		{ 2, "limited" },		\
		{ 3, "killed" },		\
		{ 4, "out-of-memory" },		\
		{ 5, "engine-fault" })

/* KWASMI_IOC_LOAD has loaded or refused a module, which it has hashed before. */
TRACE_EVENT(kwasmi_load,
	TP_PROTO(const u8 *sha256, u64 bytes, int error),
	TP_ARGS(sha256, bytes, error),
	TP_STRUCT__entry(
		__array(u8, sha256, 32)
		__field(u64, bytes)
		__field(int, error)
	),
	TP_fast_assign(
		memcpy(__entry->sha256, sha256, 32);
		__entry->bytes = bytes;
		__entry->error = error;
	),
	TP_printk("sha256=%s bytes=%llu error=%d", __print_hex_str(__entry->sha256, 32),
		  __entry->bytes, __entry->error)
);

/* KWASMI_IOC_START has ended. `instance` is 0 after an error. */
TRACE_EVENT(kwasmi_start,
	TP_PROTO(u64 instance, const u8 *sha256, int error),
	TP_ARGS(instance, sha256, error),
	TP_STRUCT__entry(
		__field(u64, instance)
		__array(u8, sha256, 32)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->instance = instance;
		memcpy(__entry->sha256, sha256, 32);
		__entry->error = error;
	),
	TP_printk("instance=%llu sha256=%s error=%d", __entry->instance,
		  __print_hex_str(__entry->sha256, 32), __entry->error)
);

DECLARE_EVENT_CLASS(kwasmi_instance,
	TP_PROTO(u64 instance),
	TP_ARGS(instance),
	TP_STRUCT__entry(
		__field(u64, instance)
	),
	TP_fast_assign(
		__entry->instance = instance;
	),
	TP_printk("instance=%llu", __entry->instance)
);

/* A task begins or continues to run a guest, for KWASMI_IOC_RUN or a call. */
DEFINE_EVENT(kwasmi_instance, kwasmi_enter,
	TP_PROTO(u64 instance),
	TP_ARGS(instance)
);

/* A task no longer runs a guest, which has ended, waits for the next call, or was interrupted. */
DEFINE_EVENT(kwasmi_instance, kwasmi_leave,
	TP_PROTO(u64 instance),
	TP_ARGS(instance)
);

/* A task begins KWASMI_IOC_CALL, directly before kwasmi_enter. */
TRACE_EVENT(kwasmi_call,
	TP_PROTO(u64 instance, u32 function),
	TP_ARGS(instance, function),
	TP_STRUCT__entry(
		__field(u64, instance)
		__field(u32, function)
	),
	TP_fast_assign(
		__entry->instance = instance;
		__entry->function = function;
	),
	TP_printk("instance=%llu function=%u", __entry->instance, __entry->function)
);

/*
 * The engine calls a host operation, a function of the kernel side that it needs. `instance` is 0
 * if no guest makes the call: at the load of a module, and when an instance is started, gives its
 * stacks back or is freed.
 */
TRACE_EVENT(kwasmi_host_operation,
	TP_PROTO(u64 instance, const char *operation),
	TP_ARGS(instance, operation),
	TP_STRUCT__entry(
		__field(u64, instance)
		__string(operation, operation)
	),
	TP_fast_assign(
		__entry->instance = instance;
		__assign_str(operation);
	),
	TP_printk("instance=%llu operation=%s", __entry->instance, __get_str(operation))
);

/* A guest has ended. `code` is that of struct kwasmi_run. */
TRACE_EVENT(kwasmi_end,
	TP_PROTO(u64 instance, u32 ended, u32 code),
	TP_ARGS(instance, ended, code),
	TP_STRUCT__entry(
		__field(u64, instance)
		__field(u32, ended)
		__field(u32, code)
	),
	TP_fast_assign(
		__entry->instance = instance;
		__entry->ended = ended;
		__entry->code = code;
	),
	TP_printk("instance=%llu ended=%s code=%u", __entry->instance,
		  kwasmi_show_end(__entry->ended), __entry->code)
);

#endif /* _KWASMI_TRACE_EVENTS_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE events
#include <trace/define_trace.h>
