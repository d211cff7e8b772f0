/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Errors of Lua's in a WebAssembly that has no exceptions. Included before everything else in it: ldo.c lets whoever builds it
 * say how a function is tried and how an error is thrown.
 */
#ifndef KWASMI_TRY_H
#define KWASMI_TRY_H

/* wasi-libc's setjmp.h, which is an error without exceptions, is not to be read. */
#define _SETJMP_H

struct lua_State;

/* Calls f(L, ud), which may end by kwasmi_throw(). */
void kwasmi_try(void (*f)(struct lua_State *L, void *ud), struct lua_State *L, void *ud);

/* Ends all calls up to the last kwasmi_try(), which returns. */
void kwasmi_throw(void);

#define luai_jmpbuf int
#define LUAI_TRY(L, c, a) kwasmi_try(f, L, ud)
#define LUAI_THROW(L, c) kwasmi_throw()

#endif /* KWASMI_TRY_H */
