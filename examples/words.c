// SPDX-License-Identifier: GPL-2.0
/*
 * Counts words of texts from any number of callers: a service that keeps a table between calls.
 * `add` takes a text as its input and returns the number of its words. `most` writes the words that
 * came most often, with their counts, to its output, at most `limit` lines, and returns their number.
 *
 *     clang --target=wasm32-wasi -mexec-model=reactor -O2 -Iguests/call/include -o words.wasm examples/words.c
 *     kwasmi spawn words words.wasm
 *     kwasmi call --input README.md words add
 *     kwasmi call --output - words most 10
 */
#include "kwasmi_call.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 31
#define TABLE_SIZE 16384

struct entry {
	char word[WORD_MAX + 1];
	uint32_t count;
};

static struct entry table[TABLE_SIZE];

/* Counts one word. Words that do not fit in the table are not counted. */
static void count(const char *word)
{
	uint32_t place = 5381;

	for (const char *at = word; *at; at++)
		place = place * 33 + (unsigned char)*at;
	for (uint32_t probe = 0; probe < TABLE_SIZE; probe++) {
		struct entry *entry = &table[(place + probe) % TABLE_SIZE];

		if (!entry->count)
			strcpy(entry->word, word);
		if (!strcmp(entry->word, word)) {
			entry->count++;
			return;
		}
	}
}

__attribute__((export_name("add"))) uint32_t add(void)
{
	char text[4096], word[WORD_MAX + 1];
	uint32_t words = 0, size = 0, len = 0, offset = 0;

	do {
		if (kwasmi_call_input(text, sizeof(text), offset, &size))
			return 0;
		for (uint32_t at = 0; at < sizeof(text) && offset + at <= size; at++) {
			int byte = offset + at < size ? (unsigned char)text[at] : ' ';

			if (isalnum(byte)) {
				if (len < WORD_MAX)
					word[len++] = (char)tolower(byte);
			} else if (len) {
				word[len] = '\0';
				count(word);
				words++;
				len = 0;
			}
		}
		offset += sizeof(text);
	} while (offset <= size);
	return words;
}

/* Orders entries by descending counts, and equal ones by their words. */
static int compare(const void *one, const void *other)
{
	const struct entry *const *left = one, *const *right = other;

	if ((*left)->count != (*right)->count)
		return (*left)->count < (*right)->count ? 1 : -1;
	return strcmp((*left)->word, (*right)->word);
}

__attribute__((export_name("most"))) uint32_t most(uint32_t limit)
{
	static const struct entry *sorted[TABLE_SIZE];
	uint32_t len = 0, written = 0;

	for (uint32_t place = 0; place < TABLE_SIZE; place++)
		if (table[place].count)
			sorted[len++] = &table[place];
	qsort(sorted, len, sizeof(*sorted), compare);
	for (; written < len && written < limit; written++) {
		char line[WORD_MAX + 16];
		int size = snprintf(line, sizeof(line), "%u %s\n", sorted[written]->count, sorted[written]->word);

		if (kwasmi_call_output(line, (uint32_t)size))
			break;
	}
	return written;
}
