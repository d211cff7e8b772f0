# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Cases of the public programs, see sides.sh. They use only commands of busybox.

# --- Compilers, assemblers and linkers

c_source() {
    cat >p.c <<'END'
struct point { int x, y; };
static int square(int n) { return n * n; }
int distance(struct point a, struct point b) { return square(a.x - b.x) + square(a.y - b.y); }
int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
unsigned crc(const unsigned char *bytes, unsigned long length)
{
    unsigned crc = ~0u;
    while (length--) {
        crc ^= *bytes++;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}
int main(void) { return fib(10) + crc((const unsigned char *)"text", 4); }
END
}
avr_c() {
    c_source
    run cc1 -quiet -O2 -mmcu=avr5 p.c -o p.s
    run avr-as -mmcu=avr5 p.s -o p.o
    echo 'SECTIONS { .text : { *(.text*) } .data : { *(.data*) *(.rodata*) } }' >p.ld
    run avr-ld -m avr5 -T p.ld -e main --unresolved-symbols=ignore-all p.o -o p.elf
    run avr-objcopy -O ihex p.elf p.hex
    run avr-as -mmcu=avr5 p.c
    run cc1 -quiet nothing.c
}
avr_cplusplus() {
    cat >p.cc <<'END'
template <typename T, int N> struct ring {
    T items[N]; int next = 0;
    void push(T item) { items[next++ % N] = item; }
    template <typename F> T fold(F f, T start) const { for (T item : items) start = f(start, item); return start; }
};
int sum(int n) {
    ring<int, 8> r{};
    for (int i = 0; i < n; i++) r.push(i * i);
    return r.fold([](int a, int b) { return a + b; }, 0);
}
int wrong() { return undeclared; }
END
    run cc1plus -quiet -O2 -std=c++17 p.cc -o p.s
    grep -v undeclared p.cc >q.cc
    run cc1plus -quiet -O2 -std=c++17 q.cc -o q.s
}
hello_source() {
    cat >hello.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
int main(int argc, char **argv)
{
    qsort(argv + 1, argc - 1, sizeof *argv, compare);
    for (int i = 1; i < argc; i++) printf("%d %s %.3f\n", i, argv[i], 1.0 / i);
    return argc;
}
END
}
clang_8() {
    hello_source
    mkdir preopens
    (cd preopens && data clang-fs)
    place preopens/sys /sys
    run clang -cc1 -emit-obj -disable-free -isysroot / -internal-isystem /sys/include \
        -internal-isystem /sys/lib/clang/8.0.1/include -O2 -o hello.o -x c hello.c
    run wasm-ld --no-threads -L/sys/lib/wasm32-wasi /sys/lib/wasm32-wasi/crt1.o hello.o -lc -o hello.wasm
    run ./hello.wasm kernel module interpreter
}
clang_22() {
    hello_source
    mkdir preopens
    (cd preopens && data llvm-resources)
    place preopens /usr
    run llvm clang -O2 -c hello.c -o hello.o
    run llvm wasm-ld -L/usr/lib/wasm32-wasip1 /usr/lib/wasm32-wasip1/crt1-command.o hello.o -lc -o hello.wasm
    run llvm nm hello.o
    run ./hello.wasm kernel module interpreter
}
silice_blink() {
    cat >blink.si <<'END'
unit main(output uint8 leds)
{
    uint28 counter(0);
    always { leds = counter[20,8]; counter = counter + 1; }
}
END
    mkdir preopens
    (cd preopens && data silice-share)
    run silice --frameworks_dir preopens -f preopens/boards/bare/bare.v -o blink.v blink.si
}

public "GCC, as, ld and objcopy make AVR code" avr_c cc1 avr-as avr-ld avr-objcopy
public "GCC compiles C++" avr_cplusplus cc1plus
public "clang 8 and its linker make a program that runs" clang_8 clang wasm-ld
public "clang 22 and its linker make a program that runs" clang_22 llvm
public "Silice compiles hardware" silice_blink silice

# --- Interpreters

python_source() {
    cat >words.py <<'END'
import collections, decimal, hashlib, itertools, json, os, random, re, sys, zlib
random.seed(7)
words = [''.join(random.choice('abcdefgh') for _ in range(3)) for _ in range(5000)]
print(collections.Counter(words).most_common(3), hashlib.sha256(' '.join(words).encode()).hexdigest())
print(json.dumps({'pi': float(decimal.Decimal(355) / 113), 'ok': [True, None]}), len(zlib.compress(b'x' * 1000)))
print(re.sub(r'(\w+)@(\w+)', r'\2 at \1', 'user@host'), sum(itertools.accumulate(range(1000))))
with open('out.txt', 'w') as file:
    file.write('\n'.join(sorted(set(words))))
os.mkdir('folder')
os.rename('out.txt', 'folder/out.txt')
print(sorted(os.listdir('.')), os.stat('folder/out.txt').st_size, 2 ** 200, sys.argv[1:])
print(sys.stdin.read().upper(), file=sys.stderr)
try:
    open('nothing')
except OSError as error:
    print(error)
raise ValueError('the last')
END
}
python_311() { python_source && echo text | run python-3.11 words.py one two; }
python_312() { python_source && echo text | run python-3.12 words.py one two; }
ruby_words() {
    cat >words.rb <<'END'
words = (1..3000).map { |i| (i * 7919 % 3001).to_s(36) }
puts words.sort.first(5).inspect, words.tally.size, (1..30).reduce(:*), 2**0.5
puts "user@host".gsub(/(\w+)@(\w+)/, '\2 at \1'), [1, [2, nil]].inspect, "%08.3f" % 3.14159
File.write("out.txt", words.join("\n"))
puts File.size("out.txt"), Dir.children(".").sort.inspect, ARGV.inspect, $stdin.read.upcase
Point = Struct.new(:x, :y) { def +(o) = Point.new(x + o.x, y + o.y) }
p Point.new(1, 2) + Point.new(3, 4), [1, 2, 3].each_slice(2).to_a, (catch(:done) { throw :done, 7 })
f = Fiber.new { |a| loop { a = Fiber.yield(a * 2) } }
p f.resume(1), f.resume(2)
begin; File.open("nothing"); rescue => e; warn e.class; end
raise ArgumentError, "the last"
END
    echo text | run ruby words.rb one two
}
php_words() {
    cat >words.php <<'END'
<?php
$words = array_map(fn($i) => base_convert((string)($i * 7919 % 3001), 10, 36), range(1, 3000));
sort($words, SORT_STRING);
echo json_encode(array_slice($words, 0, 5)), count(array_unique($words)), "\n", md5(implode(' ', $words)), "\n";
echo preg_replace('/(\w+)@(\w+)/', '$2 at $1', 'user@host'), "\n";
printf("%.10f %s %s\n", M_PI, strrev('abc'), number_format(1234567.891, 2));
class Point { function __construct(public readonly int $x = 0) {} }
$point = new Point(1);
try { $point->x = 2; } catch (Error $e) { echo get_class($e), ": ", $e->getMessage(), "\n"; }
function gen() { for ($i = 0; $i < 3; $i++) yield $i => $i ** 2; }
foreach (gen() as $k => $v) echo "$k $v ";
file_put_contents('out.txt', implode("\n", $words));
echo filesize('out.txt'), "\n", serialize([1, 'a' => null, 2.5]), "\n";
echo file_exists('nothing') ? 'yes' : 'no', "\n";
try { intdiv(1, 0); } catch (Error $e) { echo $e->getMessage(), "\n"; }
END
    run php-cgi -q -d display_errors=1 -d html_errors=0 words.php
}
js_source() {
    cat >words.js <<'END'
const words = Array.from({ length: 3000 }, (_, i) => ((i * 7919) % 3001).toString(36));
console.log(words.sort().slice(0, 5).join(), new Set(words).size, 2n ** 200n, Math.hypot(3, 4), 0.1 + 0.2);
console.log("user@host".replace(/(?<a>\w+)@(\w+)/, "$2 at $<a>"), JSON.stringify({ a: [1, { b: null }] }));
class Point { #x = 1; get x() { return this.#x; } static #n = 0; static next() { return ++Point.#n; } }
console.log(new Point().x, Point.next(), Point.next(), [..."aäb€"].map((c) => c.codePointAt(0)).join());
(async () => { for await (const x of (async function* () { yield 1; yield 2; })()) console.log("later", x); })();
try { null.x; } catch (e) { console.log(e instanceof TypeError, e.message); }
console.log(Float64Array.from({ length: 1000 }, (_, i) => Math.sin(i)).sort()[500].toFixed(12));
END
    cat >files.mjs <<'END'
import * as std from "qjs:std";
import * as os from "qjs:os";
const f = std.open("out.txt", "w");
for (let i = 0; i < 100; i++) f.printf("%d %s\n", i, (i / 7).toFixed(3));
f.close();
console.log(os.readdir(".")[0].sort().join(), os.stat("out.txt")[0].size, os.remove("nothing") < 0, std.in.getline());
std.err.puts("to standard error\n");
std.exit(5);
END
}
quickjs_011() { js_source && run quickjs-ng-0.11 words.js && echo text | run quickjs-ng-0.11 -m files.mjs; }
quickjs_now() { js_source && run quickjs-ng words.js && echo text | run quickjs-ng -m files.mjs; }

public "Python 3.11 runs a program" python_311 python-3.11
public "Python 3.12 runs a program" python_312 python-3.12
public "Ruby 3.2 runs a program" ruby_words ruby
public "PHP 8.2 runs a program" php_words php-cgi
public "QuickJS 0.11 runs programs" quickjs_011 quickjs-ng-0.11
public "QuickJS runs programs" quickjs_now quickjs-ng

# --- Data, images and sound

sqlite_queries() {
    cat >rows.sql <<'END'
CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL);
BEGIN;
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000)
INSERT INTO t SELECT x, 'row ' || x, x / 7.0 FROM c;
COMMIT;
CREATE INDEX i ON t (b);
SELECT count(*), sum(a), max(b), round(avg(c), 6) FROM t WHERE b LIKE '%7%';
DELETE FROM t WHERE a % 3 = 0;
PRAGMA integrity_check;
SELECT * FROM t ORDER BY c DESC LIMIT 3;
SELECT * FROM missing;
.schema
END
    run sqlite data.db <rows.sql
    run sqlite data.db 'SELECT b, length(hex(c)) FROM t WHERE a < 5;'
}
svg() {
    cat >in.svg <<'END'
<svg xmlns="http://www.w3.org/2000/svg" width="240" height="160" viewBox="0 0 120 80">
<defs><linearGradient id="g"><stop offset="0" stop-color="red"/><stop offset="1" stop-color="blue"/></linearGradient>
<filter id="f"><feGaussianBlur stdDeviation="2"/></filter><clipPath id="c"><circle cx="60" cy="40" r="35"/></clipPath></defs>
<rect width="120" height="80" fill="url(#g)"/><circle cx="60" cy="40" r="30" fill="#fff8" stroke="#000" stroke-width="3"/>
<path d="M10 70 C 40 10 80 10 110 70 Z" fill="none" stroke="green" stroke-width="4" stroke-dasharray="5 2"/>
<g clip-path="url(#c)" transform="rotate(20 60 40)"><rect x="30" y="30" width="60" height="20" fill="gold" filter="url(#f)"/></g>
</svg>
END
}
resvg_png() { svg && run resvg in.svg out.png && run resvg -w 100 --background white in.svg small.png && run resvg nothing.svg x.png; }
resvg_023() { svg && run resvg-0.23 in.svg out.png && run resvg-0.23 -z 2 in.svg large.png; }
usvg_svg() { svg && run usvg in.svg out.svg && run usvg in.svg -c; }
svg_gerber() {
    svg
    run usvg in.svg plain.svg
    # svg-flatten makes names of temporary files from random bytes.
    mkdir -p preopens/dev preopens/tmp
    head -c 1000 /dev/zero >preopens/dev/urandom
    place preopens/dev /dev
    place preopens/tmp /tmp
    run svg-flatten --no-usvg -o gerber plain.svg out.gbr
    run svg-flatten --no-usvg -o svg plain.svg out.svg
}
flite_speech() { run flite -voice kal -t "The kernel runs a program." out.wav; run flite -lv; }
pandoc_html() { echo '# A *title*' | run pandoc -f markdown -t html; }
# message FIELD BYTES: prints a field of a protocol buffer, with at most 127 bytes.
message() { printf "\\$(printf %03o $(($1 * 8 + 2)))\\$(printf %03o ${#2})%s" "$2"; }
# component ID TYPE NAME VERSION LICENCE, contains ID ID: print a node of the document, an edge.
component() { message 1 "$(message 1 "$1")$2$(message 3 "$3")$(message 4 "$4")$(message 8 "$5")$(message 9 "$5")"; }
contains() { message 2 "$(printf '\010\005')$(message 2 "$1")$(message 3 "$2")"; }
protobom_documents() {
    {
        message 1 "$(message 1 urn:bom)$(message 2 7)$(message 3 example)$(message 5 "$(message 1 tool)$(message 2 1.0)")"
        message 1 "$(message 6 "$(message 1 Ada)$(message 3 ada@example.org)")"
        message 2 "$(component root '' program 1.2.3 GPL-2.0-only)$(message 3 root)"
        for n in 1 2 3 4 5 6 7 8; do
            message 2 "$(component "node-$n" '' "library-$n" "$n.$((n * n))" MIT)"
            message 2 "$(contains root "node-$n")"
        done
        message 2 "$(component file "$(printf '\020\001')" main.c 1 MIT)$(contains node-8 file)"
    } >bom.pb
    # One line of SPDX has the time. The order of the components in CycloneDX is random.
    run protobom-writer spdx <bom.pb | grep -v '"created"' >spdx.json
    run protobom-writer cyclonedx <bom.pb | sort >cyclonedx.json
}

public "SQLite fills and queries a database" sqlite_queries sqlite
public "resvg renders an SVG file" resvg_png resvg
public "resvg 0.23 renders an SVG file" resvg_023 resvg-0.23
public "usvg simplifies an SVG file" usvg_svg usvg
public "svg-flatten makes a Gerber file" svg_gerber usvg svg-flatten
public "Flite speaks a sentence" flite_speech flite
public "Pandoc converts Markdown" pandoc_html pandoc
public "protobom-writer converts a list of components" protobom_documents protobom-writer

# --- Solvers, synthesis, place and route

boolector_factors() {
    cat >factors.smt2 <<'END'
(set-logic QF_BV)
(set-option :produce-models true)
(declare-fun x () (_ BitVec 24))
(declare-fun y () (_ BitVec 24))
(assert (= (bvmul x y) #x2b68a9))
(assert (bvugt x #x000001))
(assert (bvult x #x000fff))
(assert (bvult y #x000fff))
(assert (bvugt y #x000001))
(check-sat)
(get-model)
(exit)
END
    run boolector --smt2 factors.smt2
    sed 's/#x2b68a9/#x2b68ab/' factors.smt2 | run boolector --smt2
}
counter() {
    cat >counter.v <<'END'
module counter #(parameter W = 8) (input clk, rst, en, input [W-1:0] a, b, output reg [W-1:0] q, output [2*W-1:0] p);
  always @(posedge clk) if (rst) q <= 0; else if (en) q <= q + a - b;
  assign p = a * b;
endmodule
END
}
yosys_script='read_verilog counter.v; hierarchy -top counter; proc; opt; wreduce; alumacc; fsm; memory; opt -full; tee -q -o stat.txt stat; write_verilog out.v; write_json out.json; write_rtlil out.il'
yosys_055() { counter && run yosys -q -p "$yosys_script"; }
yosys_amaranth() {
    counter
    cat >in.il <<'END'
module \top
  wire width 4 input 1 \a
  wire width 4 output 2 \y
  cell $not $1
    parameter \A_SIGNED 0
    parameter \A_WIDTH 4
    parameter \Y_WIDTH 4
    connect \A \a
    connect \Y \y
  end
end
END
    run yosys-amaranth -q -p 'read_rtlil in.il; proc; opt; write_verilog -norename out.v'
    run yosys-amaranth -V
}
yosys_070() { counter && run yosys-0.70 -q -p "$yosys_script"; }
gowin_place() {
    mkdir -p preopens/gowin
    (cd preopens/gowin && data gowin-chipdb)
    place preopens /share
    cat >top.v <<'END'
(* blackbox *) module LUT2(output F, input I0, I1); parameter INIT = 0; endmodule
(* blackbox *) module IBUF(output O, input I); endmodule
(* blackbox *) module OBUF(output O, input I); endmodule
(* blackbox *) module DFF(output Q, input D, CLK); endmodule
module top(input clk, a, output q);
  wire c, i, d, r;
  IBUF bc(.I(clk), .O(c));
  IBUF ba(.I(a), .O(i));
  LUT2 #(.INIT(4'h6)) l(.F(d), .I0(i), .I1(r));
  DFF f(.Q(r), .D(d), .CLK(c));
  OBUF bq(.I(r), .O(q));
endmodule
END
    run yosys -q -p 'read_verilog top.v; hierarchy -top top; write_json top.json'
    run nextpnr-gowin -q --device GW1N-LV1QN48C6/I5 --json top.json --write out.json --seed 1
}
ice40_place() {
    mkdir -p preopens/ice40
    (cd preopens/ice40 && data ice40-chipdb)
    place preopens /share
    cat >top.v <<'END'
(* blackbox *) module SB_LUT4(output O, input I0, I1, I2, I3); parameter LUT_INIT = 0; endmodule
(* blackbox *) module SB_DFF(output Q, input C, D); endmodule
module top(input clk, a, b, output q);
  wire d;
  SB_LUT4 #(.LUT_INIT(16'h6996)) l(.O(d), .I0(a), .I1(b), .I2(q), .I3(1'b0));
  SB_DFF f(.Q(q), .C(clk), .D(d));
endmodule
END
    run yosys -q -p 'read_verilog top.v; hierarchy -top top; write_json top.json'
    run nextpnr-ice40 -q --lp384 --package qn32 --json top.json --asc top.asc --seed 1
    run icepack top.asc top.bin
    run icepack -u top.bin again.asc
    run icemulti -o multi.bin -p0 top.bin top.bin
    run icebram -g -s 1 16 256 >random.hex
    run icebram random.hex random.hex <top.asc
}
icepll_divisors() { run icepll -i 12 -o 48; run icepll -i 16 -o 133.5 -f pll.v -m; run icepll -i 1000; }

public "Boolector factors a number" boolector_factors boolector
public "Yosys 0.55 synthesizes a counter" yosys_055 yosys
public "Amaranth's Yosys converts RTLIL" yosys_amaranth yosys-amaranth
public "Yosys 0.70 synthesizes a counter" yosys_070 yosys-0.70
public "nextpnr-gowin places and routes" gowin_place yosys nextpnr-gowin
public "nextpnr-ice40 and icepack make a bitstream" ice40_place yosys nextpnr-ice40 icepack icemulti icebram
public "icepll computes divisors" icepll_divisors icepll
