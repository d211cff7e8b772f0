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
# The handlers named in the file `hot` are found with few comparisons, the first of them with the fewest. A handler's calls are of
# host functions, and become ones to kwe.search_host, which looks among those.

BEGIN {
  while ((getline line < hot) > 0) if (line !~ /^#/) weights["kwe.exec." line] = 512 / sqrt(++hottest)
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
      if (is_handler) handlers[++handler_count] = name
      else host_functions[++host_function_count] = name
    }
  }
  offset = address - start
  instruction = $2
}
is_handler && (instruction == "jmp" || instruction == "call") && /R_X86_64_(PLT|PC)32\t__x86_indirect_thunk_r11-0x4$/ {
  print ".section .altinstr_replacement, \"ax\""
  print ".Lreplacement_" ++sites ": " instruction (instruction == "jmp" ? " kwe.search" : " kwe.search_host")
  print ".section .altinstructions, \"a\""
  printf "altinstr_entry %s+%d, .Lreplacement_%d, X86_FEATURE_RETPOLINE, 5, 5\n", name, offset, sites
}

END {
  print ".text"
  define("kwe.search", handlers, handler_count)
  define("kwe.search_host", host_functions, host_function_count)
}

# Defines the function `name`, which goes to that of `all`, of which there are `count`, that is at %r11.
function define(name, all, count,  i, base) {
  print "SYM_FUNC_START_LOCAL(" name ")"
  for (i = 1; i <= count; i++) {
    targets[i] = all[i]
    base = all[i]
    sub(/\.[0-9]+$/, "", base)
    before[i] = before[i - 1] + (base in weights ? weights[base] : 1)
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
  printf "cmp $%s, %%r11\nje %s\n", targets[middle], targets[middle]
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
