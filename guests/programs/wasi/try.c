// SPDX-License-Identifier: GPL-2.0
/*
 * Unwinding by Binaryen's asyncify, which makes every function return early, right after the call that it is in, once
 * asyncify_start_unwind() was called. That is meant for calls that go on later, so each function leaves its variables in a
 * buffer; nobody reads them here.
 */
#include <stdint.h>

#include "try.h"

__attribute__((import_module("asyncify"), import_name("start_unwind"))) void asyncify_start_unwind(void *buffer);
__attribute__((import_module("asyncify"), import_name("stop_unwind"))) void asyncify_stop_unwind(void);

static char space[1 << 20];

/* As asyncify wants it: where the next byte goes, and the end. */
static struct {
	char *next;
	char *end;
} buffer;

static int is_thrown;

__asm__(".globaltype __stack_pointer, i32");

/* It stops the unwinding, so asyncify leaves it as it is: it goes on when f returns, early or not. */
__attribute__((noinline)) void kwasmi_try(void (*f)(struct lua_State *L, void *ud), struct lua_State *L, void *ud)
{
	uintptr_t stack_pointer;

	__asm__ volatile("global.get __stack_pointer\n\tlocal.set %0" : "=r"(stack_pointer));
	f(L, ud);
	if (!is_thrown)
		return;
	is_thrown = 0;
	asyncify_stop_unwind();
	/* Functions that returned early have left their frames there. */
	__asm__ volatile("local.get %0\n\tglobal.set __stack_pointer" : : "r"(stack_pointer));
}

__attribute__((noinline)) void kwasmi_throw(void)
{
	is_thrown = 1;
	buffer.next = space;
	buffer.end = space + sizeof(space);
	asyncify_start_unwind(&buffer);
}
