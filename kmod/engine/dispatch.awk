# SPDX-License-Identifier: GPL-2.0
# Writes assembly: the way from one of the interpreter's handlers to the next where the kernel uses retpolines.
#
#     objdump -dr --no-show-raw-insn ENGINE.o | awk -v hot=FILE -f dispatch.awk
#
# A retpoline is a misprediction on purpose, and here it would be one for each instruction of a guest. Where X86_FEATURE_RETPOLINE
# is set, each handler's jump becomes one to kwe.search, which compares the address of the next with those that there
# are and jumps there directly, as the kernel's dispatcher of BPF programs does (emit_bpf_dispatcher in
# arch/x86/net/bpf_jit_comp.c). What it does not find goes by a retpoline. Elsewhere nothing changes: the kernel makes indirect
# jumps of them.
#
# A line of the file `hot` names a handler, and those that often come after it, the most frequent first: each of the latter is
# tried before the search, in the handler's own kwe.after.NAME, because a processor foretells a comparison the better the less else
# is decided there. The handlers of all lines are found with few comparisons, that of the first with the fewest. A handler's
# calls are of host functions, and become ones to kwe.search_host, which looks among those.

BEGIN {
  while ((result = getline line < hot) > 0) {
    if (line ~ /^#/) continue
    split(line, words, " ")
    weights[words[1]] = 512 / sqrt(++hottest)
    if (line ~ / /) successors[words[1]] = line
  }
  if (result < 0) {
    print hot ": cannot be read" >"/dev/stderr"
    exit 1
  }
  print "#include <linux/linkage.h>"
  print "#include <asm/alternative.h>"
  print "#include <asm/cpufeatures.h>"
}

/^[0-9a-f]+ <.*>:$/ {
  name = substr($2, 2, length($2) - 3)
  is_handler = name ~ /^kwe\.exec\./
  is_host_function = name ~ /\.KernelHost\./
  offset = -1
}
# An instruction's offset in its function is what objdump tells of the first and of this one.
(is_handler || is_host_function) && /^ *[0-9a-f]+:\t/ {
  address = hex(substr($1, 1, length($1) - 1))
  if (offset < 0) {
    start = address
    # Where an indirect jump or call may come to.
    if ($2 == "endbr64") {
      if (is_handler) {
        handlers[++handler_count] = name
        whole[base(name)] = name
      } else host_functions[++host_function_count] = name
    }
  }
  offset = address - start
  instruction = $2
}
is_handler && (instruction == "jmp" || instruction == "call") && /R_X86_64_(PLT|PC)32\t__x86_indirect_thunk_r11-0x4$/ {
  print ".section .altinstr_replacement, \"ax\""
  print ".Lreplacement_" ++sites ": " instruction way()
  print ".section .altinstructions, \"a\""
  printf "altinstr_entry %s+%d, .Lreplacement_%d, X86_FEATURE_RETPOLINE, 5, 5\n", name, offset, sites
}

END {
  if (result < 0) exit 1
  print ".text"
  define("kwe.search", handlers, handler_count)
  define("kwe.search_host", host_functions, host_function_count)
  for (i = 1; i <= needed_count; i++) define_after(needed[i])
}

# Where the instruction goes instead.
function way() {
  if (instruction == "call") return " kwe.search_host"
  if (!(base(name) in successors)) return " kwe.search"
  if (!is_needed[base(name)]++) needed[++needed_count] = base(name)
  return " kwe.after." base(name)
}

# What the file calls the handler `name`.
function base(name) {
  sub(/^kwe\.exec\./, "", name)
  sub(/\.[0-9]+$/, "", name)
  return name
}

# Defines the function that tries the successors of the handler `name`.
function define_after(name,  words, count, i) {
  count = split(successors[name], words, " ")
  print "SYM_FUNC_START_LOCAL_NOALIGN(kwe.after." name ")"
  for (i = 2; i <= count; i++) if (words[i] in whole) compare(whole[words[i]])
  print "jmp kwe.search"
  print "SYM_FUNC_END(kwe.after." name ")"
}

function compare(target) {
  printf "cmp $%s, %%r11\nje %s\n", target, target
}

# Defines the function `name`, which goes to that of `all`, of which there are `count`, that is at %r11.
function define(name, all, count,  i) {
  print "SYM_FUNC_START_LOCAL(" name ")"
  for (i = 1; i <= count; i++) {
    targets[i] = all[i]
    before[i] = before[i - 1] + (base(all[i]) in weights ? weights[base(all[i])] : 1)
  }
  other = ".Lother_" ++others
  search(1, count)
  print other ": jmp __x86_indirect_thunk_r11"
  print "int3"
  print "SYM_FUNC_END(" name ")"
}

# Looks among the targets `first` to `last`, which have increasing addresses.
function search(first, last,  middle, label) {
  if (first > last) {
    print "jmp " other
    return
  }
  middle = first
  while (middle < last && before[middle] - before[first - 1] < before[last] - before[middle]) middle++
  compare(targets[middle])
  if (middle > first && middle < last) {
    label = other "_after_" middle
    print "ja " label
    search(first, middle - 1)
    print label ":"
    search(middle + 1, last)
  } else if (middle > first) {
    search(first, middle - 1)
  } else {
    search(middle + 1, last)
  }
}

function hex(digits,  i, value) {
  value = 0
  for (i = 1; i <= length(digits); i++) value = value * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
  return value
}
