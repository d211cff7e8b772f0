// SPDX-License-Identifier: GPL-2.0
/*
 * Unwinding by Binaryen's asyncify. After asyncify_start_unwind(), every function returns right
 * after the call that it is in. asyncify is meant for calls that continue later, so each function
 * leaves its variables in a buffer. Nothing reads that buffer here.
 */
#include <stdint.h>

#include "try.h"

__attribute__((import_module("asyncify"), import_name("start_unwind"))) void asyncify_start_unwind(void *buffer);
__attribute__((import_module("asyncify"), import_name("stop_unwind"))) void asyncify_stop_unwind(void);

static char space[1 << 20];

/* Buffer in the form that asyncify requires: place of the next byte, and end. */
static struct {
	char *next;
	char *end;
} buffer;

static int is_thrown;

__asm__(".globaltype __stack_pointer, i32");

/* asyncify does not change this function, which stops the unwinding: it continues when f returns. */
__attribute__((noinline)) void kwasmi_try(void (*f)(struct lua_State *L, void *ud), struct lua_State *L, void *ud)
{
	uintptr_t stack_pointer;

	__asm__ volatile("global.get __stack_pointer\n\tlocal.set %0" : "=r"(stack_pointer));
	f(L, ud);
	if (!is_thrown)
		return;
	is_thrown = 0;
	asyncify_stop_unwind();
	/* Functions that returned early have left their frames on the stack. */
	__asm__ volatile("local.get %0\n\tglobal.set __stack_pointer" : : "r"(stack_pointer));
}

__attribute__((noinline)) void kwasmi_throw(void)
{
	is_thrown = 1;
	buffer.next = space;
	buffer.end = space + sizeof(space);
	asyncify_start_unwind(&buffer);
}
