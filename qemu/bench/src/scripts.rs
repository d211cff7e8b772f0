// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Inputs of the programs by other authors.

/// Scripts by the names of their files.
pub(crate) const ALL: [(&str, &str); 3] = [("work.lua", LUA), ("work.sql", SQL), ("work.js", JS)];

const LUA: &str = r#"
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(25))
local numbers = {}
for i = 1, 100000 do numbers[i] = (i * 7919) % 100003 end
table.sort(numbers)
local letters, seen = 0, {}
for word in (("the quick brown fox jumps over the lazy dog "):rep(4000)):gmatch("%a+") do
  letters = letters + #word
  seen[word] = (seen[word] or 0) + 1
end
print(numbers[1], letters, seen.the)
"#;

const SQL: &str = "
CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INTEGER, text TEXT);
CREATE INDEX by_n ON numbers (n);
BEGIN;
INSERT INTO numbers WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 60000)
    SELECT x, x * x % 100003, 'row ' || x FROM c;
COMMIT;
SELECT count(*), sum(n), min(text), max(length(text)) FROM numbers;
SELECT a.id, b.text FROM numbers a JOIN numbers b ON a.n = b.id WHERE a.id % 7 = 3 ORDER BY b.text BOUND 5;
SELECT n % 100, count(*) FROM numbers GROUP BY n % 100 ORDER BY 2 DESC BOUND 5;
";

const JS: &str = r#"
const primes = [];
for (let i = 2; primes.length < 2000; i++) if (primes.every((p) => p * p > i || i % p)) primes.push(i);
let text = "";
for (let i = 0; i < 20000; i++) text += String.fromCharCode(97 + (i * 31) % 26);
let factorial = 1n;
for (let i = 1n; i <= 1000n; i++) factorial *= i;
console.log(primes.at(-1), text.split("a").length, text.match(/x.z/g)?.length, factorial.toString().length);
"#;

/// Returns text of `len` bytes that can be compressed.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 32);
    let mut state = 1_u32;
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (word, number) = (state >> 24, state >> 12 & 0xf);
        text.extend_from_slice(format!("word{} {number}\n", word * word % 997).as_bytes());
    }
    text.truncate(len);
    text
}
