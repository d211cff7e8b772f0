# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Test cases of the programs, see twins.sh. They use only commands of busybox.

# Prints words and numbers in a pseudo-random order, which is always the same.
jumble() {
    awk -v lines="$1" 'BEGIN { for (x = 7; n < lines; n++) { x = (x * 7621 + 1) % 32768; print "word" x % 1000, x } }'
}
# Makes a folder with folders and files.
tree() {
    mkdir -p "$1/a/b" "$1/c" "$1/empty"
    echo one >"$1/one"
    echo two >"$1/a/two"
    seq 1 5000 >"$1/a/b/numbers"
    printf 'no newline at the end' >"$1/c/line"
    : >"$1/c/nothing"
}

are_built() { ! cat "$PROGRAMS/failed" 2>/dev/null; }
check "all programs were built" are_built

# --- commands of uutils

cat_files() { tree t && echo between | run cat t/one - t/a/two t/c/line t/c/nothing; }
cat_many() { jumble 60000 >in && run cat in >out && run cat <in >out2; }
cat_missing() { run cat nothing/there; }
cat_folder() { mkdir folder && run cat folder; }
head_tail() {
    jumble 3000 >in
    for command in head tail; do
        run $command in
        run $command -n 3 in
        run $command -c 100 in
        run $command -n 2 <in
    done
    run head -n -2990 in
    run tail -n +2990 in
}
wc_files() {
    tree t &&
    run wc t/one t/a/b/numbers t/c/line t/c/nothing &&
    run wc -l <t/a/b/numbers &&
    run wc -m t/one
}
sort_words() { jumble 2000 >in && run sort in; }
sort_numbers() { jumble 2000 >in && run sort -k2,2n -o out in && run sort -rn -k2 in; }
sort_unique() { jumble 3000 | cut -d ' ' -f 1 | run sort -u; }
uniq_counts() { jumble 500 | cut -c 1-6 | sort >in && run uniq -c in && run uniq -d in out; }
cut_fields() { jumble 200 >in && run cut -d ' ' -f 2 in && run cut -c 1-3,6- <in; }
seq_numbers() { run seq 10 && run seq 0 0.1 2 && run seq -w 5 -1 -5 && run seq -s , 1 1e3; }
sums() {
    tree t &&
    run sha256sum t/one t/a/b/numbers t/c/nothing >sums &&
    run sha256sum -c sums &&
    echo x >>t/one
    run sha256sum -c sums
}
ls_names() { tree t && run ls t && run ls -a t && run ls -1p t t/a && run ls -R t; }
ls_order() {
    head -c 30 /dev/zero >b && head -c 10 /dev/zero >a && head -c 20 /dev/zero >c
    run ls -1S
    touch -t 200001010000 a && touch -t 200101010000 c && touch -t 199901010000 b
    run ls -1t
    run ls -1tr
}
ls_missing() { run ls nothing; }
ls_many() {
    mkdir many
    for n in $(seq 500); do
        : >"many/a name that is rather long, so that not all fit $n"
    done
    run ls many
}
cp_file() { jumble 20000 >in && run cp in out && mkdir folder && run cp in out folder && run cp nothing there; }
cp_tree() { tree t && run cp -r t copy && run cp t other; }
cp_over() { echo long text >a && echo b >b && run cp b a && run cp -n a b; }
mv_files() {
    tree t &&
    run mv t/one t/c &&
    run mv t/a t/c &&
    run mv t/c moved &&
    run mv moved/line moved/nothing &&
    run mv nothing there
}
rm_files() { tree t && run rm t/one && run rm t/one; run rm -f t/one; run rm t/a; run rm -r t/a t/empty; }
rm_tree() { tree t && run rm -r t; }
mkdir_folders() { run mkdir one && run mkdir one; run mkdir -p one/two/three && run mkdir four/five; }
links() {
    echo text >file
    run ln -s file link
    run cat link
    run readlink link
    run ln -s nothing dangling
    run cat dangling
    run readlink file
    run rm link dangling
}
truncate_files() {
    jumble 100 >a &&
    run truncate -s 100 a &&
    run truncate -s 3000 b &&
    run truncate -s +50 a &&
    run truncate -s 0 b
}
touch_files() {
    run touch new
    run touch -d '2001-02-03 04:05:06 UTC' old
    run touch -r old new
    run touch -c nothing
    stat -c %Y old new
}

twin "cat copies files and standard input" cat_files
twin "cat copies 600 KB" cat_many
twin "cat fails for a missing file" cat_missing
twin "cat fails for a folder" cat_folder
twin "head and tail print parts of files" head_tail
twin "wc counts files" wc_files
twin "sort sorts words" sort_words
twin "sort sorts numbers to a file" sort_numbers
twin "sort prints each line once" sort_unique
twin "uniq counts lines" uniq_counts
twin "cut prints fields" cut_fields
twin "seq prints numbers" seq_numbers
twin "sha256sum makes and checks sums" sums
twin "ls lists names" ls_names
twin "ls sorts by size and by time" ls_order
twin "ls fails for a missing file" ls_missing
twin "ls lists 500 files" ls_many
twin "cp copies a file" cp_file
twin "cp copies a tree" cp_tree
twin "cp overwrites a file" cp_over
twin "mv moves files" mv_files
twin "rm removes files" rm_files
twin "rm removes a tree" rm_tree
twin "mkdir makes folders" mkdir_folders
twin "ln -s and readlink handle links" links
twin "truncate changes sizes" truncate_files
twin "touch changes times" touch_files

# --- ripgrep

rg_tree() { tree t && run rg --sort path -n 't|4$' t && run rg --sort path -c 1 && run rg -l nothing t; }
rg_files() {
    tree t &&
    echo '*.log' >t/.ignore &&
    : >t/a/x.log &&
    run rg --sort path --files t &&
    run rg --sort path --files --no-ignore t
}
rg_input() {
    jumble 3000 | run rg -o 'word(77)+ ' -
    jumble 3000 | run rg -c 'word[0-4]' -
    jumble 3000 | run rg --replace '$2 $1' '^(\w+) (99\d*)$' -
}
rg_lines() {
    jumble 500 >in &&
    run rg -C 2 -n '777' in &&
    run rg -U 'word7\d+ \d+\nword9' in &&
    run rg -v -n '[1-8]$' in
}
rg_unicode() { printf 'Ärger\nÖl\nüben\nß\n' >in && run rg -i 'ä|Ü' in && run rg '^\w+$' in && run rg -ic 'Ö' in; }
rg_wrong() { run rg x nothing; echo | run rg '('; }

twin "rg searches a tree" rg_tree
twin "rg lists files and ignores some" rg_files
twin "rg searches standard input" rg_input
twin "rg prints context and searches across lines" rg_lines
twin "rg searches letters of other languages" rg_unicode
twin "rg fails for a missing file and an invalid pattern" rg_wrong

# --- Lua

lua_errors() {
    cat >errors.lua <<'EOF'
print(pcall(error, "boom"))
print(pcall(function() local t = nil; return t.x end))
print(select("#", pcall(error)))
local function deep(n) if n == 0 then error { code = 7 } end return 1 + deep(n - 1) end
for i = 1, 1000 do
  local ok, e = pcall(deep, 50)
  assert(not ok and e.code == 7)
end
print(pcall(string.rep, "x", -1))
print(xpcall(function() error("h") end, function(m) return "handled " .. m end))
local function forever() return forever() + 1 end
print(pcall(forever))
print(load("x ="))
local t = setmetatable({}, { __index = function(_, k) error("no " .. k) end, __close = function() print "closed" end })
print(pcall(function() local c <close> = t; return t.foo end))
print(pcall(table.sort, { 3, 1, 2 }, function() error "cmp" end))
print(pcall(string.gsub, "abc", "%w", function() error "gsub" end))
error("the last")
EOF
    run lua errors.lua
}
lua_coroutines() {
    cat >co.lua <<'EOF'
local function each(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end
local sum = 0
for i in each(1000) do sum = sum + i end
print(sum)
local co = coroutine.create(function(a)
  for i = 1, 3 do a = coroutine.yield(a * 2) end
  error("in a coroutine")
end)
for i = 1, 6 do print(coroutine.resume(co, i)) end
print(coroutine.status(co), pcall(coroutine.wrap(function() pcall(coroutine.yield, 1); error("x") end)))
EOF
    run lua co.lua
}
lua_files() {
    cat >files.lua <<'EOF'
local f = assert(io.open("out", "w"))
for i = 1, 100 do f:write(i, " ", i * i, " ", i / 3, "\n") end
f:close()
for line in io.lines("out") do if line:match("^7%d ") then print(line) end end
f = assert(io.open("out", "r+"))
print(f:seek("end"), f:seek("set", 10), f:read(5), f:read("n"))
f:seek("set", 0); f:write("HEAD"); f:close()
f = io.open("out", "a"); f:write("tail\n"); f:close()
print(os.rename("out", "renamed"), (select(2, os.remove("nothing"))), (select(2, io.open("no/such", "w"))))
print(io.read("l"), io.read("n"), io.read("a"))
io.stderr:write("to standard error\n")
print(os.getenv("WORD"), os.getenv("NOTHING"), #arg, arg[1], arg[2])
os.exit(7)
EOF
    set_env WORD=given
    printf 'line\n42 rest\n' | run lua files.lua 'an argument' ''
}
lua_computes() {
    cat >sums.lua <<'EOF'
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(18))
local x = 0
for i = 1, 20000 do x = x + math.sin(i) * math.sqrt(i) end
print(string.format("%.10f", x), 2^0.5, 1e300 * 1e10, -0.0, 3 // 0.7, 7 % -3, 1 << 40)
local t = {}
for i = 1, 3000 do t[i] = (i * 7919) % 3001 end
table.sort(t)
print(table.concat(t, ",", 1, 20), #t)
print(("the quick brown fox"):gsub("%w+", string.upper), ("x"):rep(10, "-"), utf8.char(228, 8364))
EOF
    run lua sums.lua
}
lua_wrong() { run lua nothing.lua; run lua -e 'x ='; echo 'print(1 + 1) error()' | run lua -; }

twin "lua handles errors" lua_errors
twin "lua runs coroutines" lua_coroutines
twin "lua reads and writes files" lua_files
twin "lua computes with numbers, strings and tables" lua_computes
twin "lua fails for a missing file and an invalid program" lua_wrong

# --- QuickJS

qjs_language() {
    cat >language.js <<'EOF'
class Shape { #n = 1; get n() { return this.#n; } static of(...a) { return Object.assign(new this(), { a }); } }
console.log(JSON.stringify(Shape.of(1, [2, { x: null }], "drei")), new Shape().n);
console.log([..."aäb€"].map((c) => c.codePointAt(0)), "a1b22".replace(/(?<l>[a-z])(\d+)/g, "$2$<l>"));
console.log(2n ** 200n, 0.1 + 0.2, 1 / 3, 1e21, (255).toString(36), parseFloat("1e-7"), Math.hypot(3, 4));
const sorted = Float64Array.from({ length: 1000 }, (_, i) => Math.sin(i)).sort();
console.log([0, 500, 999].map((i) => sorted[i].toFixed(12)));
function* naturals() { for (let i = 0; ; i++) yield i; }
for (const i of naturals()) { if (i > 3) break; console.log(i); }
try { null.x; } catch (e) { console.log(e.message, e instanceof TypeError); }
(async () => { await null; console.log("later"); })();
console.log(new Map([[1, 2]]).get(1), new Date(0).toISOString(), structuredCloneless());
function structuredCloneless() { return typeof structuredClone; }
EOF
    run qjs language.js
}
qjs_modules() {
    mkdir lib
    echo 'import { two } from "./two.js"; export const three = two + 1;' >lib/three.js
    echo 'export const two = 2; export default class {}' >lib/two.js
    cat >main.js <<'EOF'
import * as m from "./lib/three.js";
const late = await import("./lib/two.js");
console.log(m.three, Object.keys(late));
EOF
    run qjs -m main.js
}
qjs_files() {
    cat >files.js <<'EOF'
import * as std from "qjs:std";
import * as os from "qjs:os";
const f = std.open("out", "w+");
for (let i = 0; i < 100; i++) f.printf("%d %s\n", i, (i / 7).toFixed(3));
f.seek(0, std.SEEK_SET);
let n = 0;
for (let line; (line = f.getline()) !== null; ) n += line.length;
console.log(n, f.tell());
f.close();
os.mkdir("folder");
std.writeFile("folder/b", "text");
const [names, e] = os.readdir("folder");
console.log(names.sort(), e, os.stat("folder/b")[0].size, os.stat("nothing")[1] !== 0);
console.log(os.rename("folder/b", "folder/c"), os.remove("out"), std.loadFile("folder/c"), std.loadFile("nothing"));
console.log(std.in.getline(), std.in.readAsString(), std.getenv("WORD"), scriptArgs.slice(1));
std.err.puts("to standard error\n");
os.setTimeout(() => { console.log("after a while"); std.exit(5); }, 50);
EOF
    set_env WORD=given
    printf 'first\nsecond\n' | run qjs -m files.js 'an argument'
}
qjs_computes() {
    cat >sums.js <<'EOF'
let primes = [];
for (let i = 2; primes.length < 1500; i++) if (primes.every((p) => p * p > i || i % p)) primes.push(i);
console.log(primes.at(-1), primes.reduce((a, b) => a + b));
let s = "";
for (let i = 0; i < 3000; i++) s += String.fromCharCode(97 + (i * 31) % 26);
console.log(s.split("a").length, s.match(/x.z/g)?.length, s.slice(-20));
let f = 1n;
for (let i = 1n; i <= 150n; i++) f *= i;
console.log(f.toString());
EOF
    run qjs sums.js
}
qjs_wrong() { run qjs nothing.js; run qjs -e 'throw new RangeError("thrown")'; run qjs -e 'let x = ;'; }

twin "qjs runs the language's features" qjs_language
twin "qjs loads modules" qjs_modules
twin "qjs uses files and timers" qjs_files
twin "qjs computes with numbers and strings" qjs_computes
twin "qjs fails for a missing file and errors" qjs_wrong

# --- SQLite

# rows FIRST LAST: prints INSERT statements for these rows.
rows() {
    seq "$1" "$2" | awk '{ printf "INSERT INTO numbers VALUES (%d, %d, '\''row %d'\'');\n", $1, $1 * $1 % 1009, $1 }'
}
sqlite_two_runs() {
    {
        echo 'CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INTEGER, text TEXT); CREATE INDEX by_n ON numbers (n); BEGIN;'
        rows 1 1000
        echo 'COMMIT;'
    } | run sqlite3 data.db
    run sqlite3 data.db 'SELECT count(*), sum(n), min(text), max(length(text)) FROM numbers;
        SELECT * FROM numbers WHERE n > 1000; PRAGMA integrity_check;'
}
sqlite_commits() {
    { echo 'CREATE TABLE numbers (id, n, text);' && rows 1 50; } | run sqlite3 data.db
    run sqlite3 data.db 'DELETE FROM numbers WHERE id % 3; BEGIN; DELETE FROM numbers; ROLLBACK;
        SELECT count(*) FROM numbers; VACUUM;'
}
sqlite_queries() {
    cat >queries.sql <<'EOF'
.mode box
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 12)
SELECT x, x * 1.5 AS y, printf('%08.3f', x / 7.0) AS z, upper(hex(x)) AS h, sum(x) OVER (ORDER BY x) AS s FROM c;
.mode json
SELECT json_group_array(value) AS j, avg(value), total(value), round(avg(value), 2) FROM json_each('[1, 2.5, "x", null]');
.mode csv
.import in.csv people
SELECT name, age FROM people WHERE name LIKE '%a%' ORDER BY age DESC;
SELECT datetime(0, 'unixepoch'), strftime('%Y', '2024-02-29', '+1 year'), julianday('2000-01-01');
.mode list
SELECT soundex('x'), 1 FROM nothing;
SELECT sqrt(2), pow(2, 0.5), ln(10), 9223372036854775807 + 1;
.schema
.dump people
EOF
    printf 'name,age\nAda,36\nAlan,41\n"Grace ""G.""",85\n' >in.csv
    run sqlite3 :memory: <queries.sql
}
sqlite_read_only() {
    run sqlite3 data.db 'CREATE TABLE t (x); INSERT INTO t VALUES (1);'
    run sqlite3 -readonly data.db 'INSERT INTO t VALUES (2);'
    run sqlite3 no/such.db 'CREATE TABLE t (x);'
    jumble 100 >broken.db
    run sqlite3 broken.db 'SELECT * FROM t;'
    run sqlite3 data.db .tables 'SELECT * FROM t' '.backup copy.db' '.output out' 'SELECT 1 / 0, NULL'
}

twin "sqlite3 writes 1,000 rows, and another run reads them" sqlite_two_runs
twin "sqlite3 runs 50 transactions and a rollback" sqlite_commits
twin "sqlite3 runs queries" sqlite_queries
twin "sqlite3 fails for files that cannot be written, read or found" sqlite_read_only

# --- Compressors

# round_trip PROGRAM SUFFIX FLAG...: compresses and decompresses.
round_trip() {
    program=$1 suffix=$2
    shift 2
    jumble 20000 >text
    head -c 50000 /dev/zero >zeros
    : >empty
    for file in text zeros empty; do
        run "$program" -k "$@" $file
        run "$program" -d -c $file.$suffix >$file.back
        cmp $file $file.back
    done
    run "$program" "$@" -c <text | run "$program" -d | cmp text -
    run "$program" -t text.$suffix
    # The program asks before it overwrites a file.
    run "$program" -k text
    cp text wrong.$suffix
    run "$program" -d wrong.$suffix
    run "$program" -d -f text.$suffix
}
bzip2_round_trip() { round_trip bzip2 bz2 -9; }
zstd_round_trip() { round_trip zstd zst -q -3; }
zstd_levels() {
    jumble 5000 >text
    for level in 1 7 15; do
        run zstd -q -$level text -o $level.zst
    done
    run zstd -q --long=20 --ultra -20 -M8M text -o long.zst
}

twin "bzip2 compresses and decompresses" bzip2_round_trip
twin "zstd compresses and decompresses" zstd_round_trip
twin "zstd compresses at several levels" zstd_levels

# --- FIGlet

figlet_fonts() {
    place fonts "$PROGRAMS/share/figlet" &&
    run figlet -d fonts kwasmi &&
    echo 'two words' | run figlet -d fonts -f slant -w 60 &&
    run figlet -d fonts -f nothing x
}

twin "figlet: fonts in a folder of their own" figlet_fonts
