/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lua's errors in WebAssembly without exceptions. The compiler includes this file before all
 * others. The macros below tell Lua's ldo.c how to try a function and how to throw an error.
 */
#ifndef KWASMI_TRY_H
#define KWASMI_TRY_H

/* Keeps wasi-libc's setjmp.h out, which is an error without exceptions. */
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
