// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

/*
 * The work of guests/bench that eBPF can do. Each program repeats it as often as the job requests.
 * `src/bpf.rs` loads and starts the programs.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) value *name

/* Helpers, declared by their numbers in enum bpf_func_id. */
static void *(*const map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*const ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u64 (*const get_current_pid_tgid)(void) = (void *)BPF_FUNC_get_current_pid_tgid;
static long (*const loop)(__u32 rounds, void *callback, void *context, __u64 flags) = (void *)BPF_FUNC_loop;
static long (*const dynptr_read)(void *to, __u32 len, const struct bpf_dynptr *from, __u32 offset,
				 __u64 flags) = (void *)BPF_FUNC_dynptr_read;
static long (*const user_ringbuf_drain)(void *map, void *callback, void *context,
					__u64 flags) = (void *)BPF_FUNC_user_ringbuf_drain;
static long (*const ringbuf_output)(void *map, void *data, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_output;

/* Job and its results. */
struct job {
	/* In: number of rounds to do. Out: number of rounds done. */
	__u64 rounds;
	/* State of the generator of requests. */
	__u64 state;
	/* Number of requests that were allowed. */
	__u64 allowed;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct job);
} job SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 128 * 1024);
} requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 * 1024);
} answers SEC(".maps");

static inline struct job *the_job(void)
{
	__u32 key = 0;

	return map_lookup_elem(&job, &key);
}

static long null_once(__u64 index, void *context)
{
	get_current_pid_tgid();
	return 0;
}

/*
 * The cheapest helper that is compiled to a call: the id of the process, as getppid(2) returns that
 * of its parent.
 */
SEC("classifier")
int null(struct __sk_buff *skb)
{
	struct job *job = the_job();

	if (job)
		job->rounds = loop(job->rounds, null_once, 0, 0);
	return 0;
}

static long clock_once(__u64 index, void *context)
{
	ktime_get_ns();
	return 0;
}

/* Reads the monotonic clock. */
SEC("classifier")
int clock(struct __sk_buff *skb)
{
	struct job *job = the_job();

	if (job)
		job->rounds = loop(job->rounds, clock_once, 0, 0);
	return 0;
}

/* Request in the format of guests/bench. */
struct request {
	__be32 address;
	__be16 port;
	__u8 rest[10];
};

struct rule {
	__u32 network;
	__u32 mask;
	__u16 low;
	__u16 high;
	_Bool allow;
};

#define RULE(network, bits, low, high, allow) { network, ~0U << (32 - (bits)), low, high, allow }

/* Rules. The first match decides. */
static const struct rule rules[] = {
	RULE(0x0a000000, 8, 22, 22, 1),
	RULE(0x0a010000, 16, 5432, 5432, 1),
	RULE(0x0a000000, 8, 1, 1023, 0),
	RULE(0xc0a80000, 16, 80, 443, 1),
	RULE(0xc0a80100, 24, 8000, 8999, 1),
	RULE(0xac100000, 12, 1024, 65535, 1),
	RULE(0x7f000000, 8, 1, 65535, 1),
	RULE(0x08000000, 5, 443, 443, 1),
};

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

static inline _Bool is_allowed(const struct request *request)
{
	__u32 address = __builtin_bswap32(request->address);
	__u16 port = __builtin_bswap16(request->port);

	for (__u32 index = 0; index < COUNT_OF(rules); index++) {
		const struct rule *rule = &rules[index];

		if ((address & rule->mask) == rule->network && rule->low <= port && port <= rule->high)
			return rule->allow;
	}
	return 0;
}

/* State on a program's stack. */
struct desk {
	struct request request;
	__u32 state;
	__u32 allowed;
};

/* Generates the next request. Rules at different positions match. */
static inline void next(struct desk *desk)
{
	static const __u32 networks[] = { 0x0a010000, 0xc0a80100, 0xac100000, 0x08080000 };

	desk->state = desk->state * 1664525 + 1013904223;
	desk->request.address = __builtin_bswap32(networks[desk->state >> 30] | (desk->state >> 16 & 0xff));
	desk->request.port = __builtin_bswap16(desk->state & 0x3fff);
}

static inline _Bool decide_next(struct desk *desk)
{
	next(desk);
	/* Force the request into memory. */
	asm volatile("" : : "r"(desk) : "memory");
	return is_allowed(&desk->request);
}

static long decide_once(__u64 index, void *context)
{
	struct desk *desk = context;

	desk->allowed += decide_next(desk);
	return 0;
}

/* Decides about generated requests. */
SEC("classifier")
int decide(struct __sk_buff *skb)
{
	struct job *job = the_job();
	struct desk desk = {};

	if (job) {
		desk.state = job->state;
		job->rounds = loop(job->rounds, decide_once, &desk, 0);
		job->state = desk.state;
		job->allowed += desk.allowed;
	}
	return 0;
}

static long policy_once(struct bpf_dynptr *request, void *context)
{
	struct desk *desk = context;
	__u8 answer;

	if (dynptr_read(&desk->request, sizeof(desk->request), request, 0, 0))
		return 1;
	answer = decide_next(desk);
	return ringbuf_output(&answers, &answer, sizeof(answer), BPF_RB_NO_WAKEUP) != 0;
}

/* Takes all requests from one ring, and puts the answers, a byte each, into another. */
SEC("classifier")
int policy(struct __sk_buff *skb)
{
	struct job *job = the_job();
	struct desk desk = {};

	if (job) {
		desk.state = job->state;
		job->rounds = user_ringbuf_drain(&requests, policy_once, &desk, BPF_RB_NO_WAKEUP);
		job->state = desk.state;
	}
	return 0;
}

/* Licence for the verifier. No helper that requires GPL is used. */
char LICENSE[] SEC("license") = "GPL";
