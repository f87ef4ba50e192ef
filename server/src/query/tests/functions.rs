//! Functions by table: an expression and its value. NULL in gives NULL out everywhere; checked over columns at the end.

use arrow::datatypes::DataType;

use super::support::{DATETIME, Fixture, batch};

fn check(cases: &[(&str, &str)]) {
    let f = Fixture::new();
    let mut wrong = Vec::new();
    for (expr, expected) in cases {
        let actual = match f.try_query(&format!("SELECT {expr}")) {
            Ok((_, rows)) => rows.concat().join("|"),
            Err(error) => format!("error: {error}"),
        };
        if actual != *expected {
            wrong.push(format!("{expr}\n    expected {expected}\n    got      {actual}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn parts_of_dates() {
    check(&[
        (
            "year('2024-02-29'), quarter('2024-02-29'), month('2024-02-29'), day('2024-02-29'), dayofmonth('2024-02-29')",
            "2024|1|2|29|29",
        ),
        (
            "dayofweek('2024-01-31'), weekday('2024-01-31'), dayofyear('2024-12-31'), dayofweek_iso('2024-01-28')",
            "4|2|366|7",
        ),
        ("week('2008-02-20'), week('2008-02-20', 0), week('2008-02-20', 1), week('2008-12-31', 1)", "7|7|8|53"),
        (
            "week('2000-01-01', 0), week('2000-01-01', 2), weekofyear('2008-02-20'), weekofyear('2024-12-30')",
            "0|52|8|1",
        ),
        ("week('2024-01-01', 3), week('2024-01-01', 5), week('2023-01-01', 1), week('2023-01-01', 4)", "1|1|0|1"),
        ("yearweek('1987-01-01'), yearweek('2000-01-01', 1), yearweek('2024-12-30', 3)", "198652|199952|202501"),
        (
            "hour('2024-01-31 12:34:56'), minute('2024-01-31 12:34:56'), second('2024-01-31 12:34:56'), microsecond('2024-01-31 12:34:56.000123')",
            "12|34|56|123",
        ),
        ("monthname('2024-01-31'), dayname('2024-01-31')", "January|Wednesday"),
        (
            "last_day('2024-02-03'), last_day('2024-02-03', 'year'), last_day('2023-02-03 10:00:00')",
            "2024-02-29|2024-12-31|2023-02-28",
        ),
        ("makedate(2024, 60), makedate(2023, 365), makedate(2024, 0)", "2024-02-29|2023-12-31|NULL"),
        ("to_days('2024-01-31'), from_days(739281), to_days('0000-01-01')", "739281|2024-01-31|0"),
        ("extract(YEAR FROM '2024-01-31'), extract(hour from timestamp '2024-01-31 05:06:07')", "2024|5"),
        (
            "to_date('2024-01-31 10:00:00'), date('2024-1-5'), date('bad'), date(NULL)",
            "2024-01-31|2024-01-05|NULL|NULL",
        ),
        (
            "time('2024-01-31 12:34:56'), time('10:11'), time_to_sec('01:00:10'), sec_to_time(3661)",
            "12:34:56|10:11:00|3610|01:01:01",
        ),
        ("next_day('2024-01-31', 'Monday'), previous_day('2024-01-31', 'Wed')", "2024-02-05|2024-01-24"),
    ]);
}

#[test]
fn moving_dates() {
    check(&[
        (
            "years_add('2024-02-29', 1), months_add('2024-01-31', 1), add_months(date '2024-03-31', -1)",
            "2025-02-28 00:00:00|2024-02-29 00:00:00|2024-02-29",
        ),
        (
            "weeks_add(date '2024-01-31', 1), days_sub(date '2024-03-01', 1), quarters_add(date '2024-01-31', 1)",
            "2024-02-07|2024-02-29|2024-04-30",
        ),
        (
            "hours_add(date '2024-01-31', 25), minutes_sub('2024-01-31 00:00:00', 1), seconds_add('2024-01-31', 1.5)",
            "2024-02-01 01:00:00|2024-01-30 23:59:00|2024-01-31 00:00:01.500000",
        ),
        (
            "timestampadd(DAY, 1, '2024-01-31'), timestampadd(SQL_TSI_MONTH, -1, date '2024-03-31')",
            "2024-02-01 00:00:00|2024-02-29",
        ),
        ("datediff('2024-02-01 00:00:00', '2024-01-31 23:59:59'), datediff('2024-01-31', '2024-02-01')", "1|-1"),
        (
            "timestampdiff(MONTH, '2024-01-31', '2024-02-29'), timestampdiff(MONTH, '2024-01-29', '2024-02-29'), timestampdiff(YEAR, '2024-02-29', '2023-02-28')",
            "0|1|-1",
        ),
        (
            "timestampdiff(SECOND, '2024-01-31', '2024-02-01'), timestampdiff(HOUR, '2024-01-31 10:30:00', '2024-01-31 12:00:00')",
            "86400|1",
        ),
        (
            "months_diff('2024-03-01', '2024-01-31'), days_diff('2024-01-31 12:00:00', '2024-01-30 13:00:00'), date_diff('hour', '2024-01-31', '2024-01-30')",
            "1|0|24",
        ),
        (
            "timediff('2024-01-31 10:00:00', '2024-01-30 08:30:00'), timediff('10:00:00', '11:30:00')",
            "25:30:00|-01:30:00",
        ),
        (
            "date_trunc('month', '2024-02-29 12:34:56'), date_trunc('week', date '2024-01-31'), date_trunc('quarter', '2024-05-05')",
            "2024-02-01 00:00:00|2024-01-29|2024-04-01 00:00:00",
        ),
        (
            "date_trunc('hour', timestamp '2024-02-29 12:34:56'), date_trunc('day', timestamp '2024-02-29 12:34:56')",
            "2024-02-29 12:00:00|2024-02-29 00:00:00",
        ),
        (
            "time_slice('2024-01-31 12:34:56', INTERVAL 15 MINUTE), time_slice('2024-01-31 12:34:56', INTERVAL 15 MINUTE, CEIL)",
            "2024-01-31 12:30:00|2024-01-31 12:45:00",
        ),
        (
            "time_slice('2024-01-31', INTERVAL 1 YEAR), time_slice('2024-05-31', INTERVAL 3 MONTH)",
            "2024-01-01 00:00:00|2024-04-01 00:00:00",
        ),
        (
            "convert_tz('2024-01-31 12:00:00', 'UTC', 'Asia/Shanghai'), convert_tz('2024-07-01 12:00:00', '+00:00', 'Europe/Rome')",
            "2024-01-31 20:00:00|2024-07-01 14:00:00",
        ),
        (
            "unix_timestamp('2024-01-31 00:00:00'), unix_timestamp('31/01/2024', '%d/%m/%Y'), from_unixtime(0), from_unixtime(1706659200, 'yyyy-MM-dd')",
            "1706659200|1706659200|1970-01-01 00:00:00|2024-01-31",
        ),
    ]);
}

#[test]
fn formatting_dates() {
    check(&[
        (
            "date_format('2009-10-04 22:23:00', '%W %M %Y'), date_format('2007-10-04 22:23:00', '%H:%i:%s')",
            "Sunday October 2009|22:23:00",
        ),
        (
            "date_format('1900-10-04 22:23:00', '%D %y %a %d %m %b %j'), date_format('1997-10-04 22:23:00', '%H %k %I %r %T %S %w')",
            "4th 00 Thu 04 10 Oct 277|22 22 10 10:23:00 PM 22:23:00 00 6",
        ),
        (
            "date_format('1999-01-01', '%X %V'), date_format('1999-01-01', '%x %v'), date_format('2024-01-31', '%Y%%%c-%e')",
            "1998 52|1998 53|2024%1-31",
        ),
        (
            "date_format('2024-01-31 12:34:56.000007', '%f'), date_format('2024-01-31', 'yyyyMMdd'), date_format(NULL, '%Y')",
            "000007|20240131|NULL",
        ),
        (
            "str_to_date('01,5,2013', '%d,%m,%Y'), str_to_date('May 1, 2013', '%M %d,%Y'), str_to_date('a09:30:17', 'a%h:%i:%s')",
            "2013-05-01 00:00:00|2013-05-01 00:00:00|0000-01-01 09:30:17",
        ),
        (
            "str_to_date('2024-01-01 00:00:00.000000', '%Y-%m-%d %T.%f'), str_to_date('2014-12-21 12:34%3A56', '%Y-%m-%d %H:%i%%3A%s')",
            "2024-01-01 00:00:00|2014-12-21 12:34:56",
        ),
        (
            "str_to_date('bad', '%Y'), str_to_date('2024-02-30', '%Y-%m-%d'), str2date('2024/01/31', '%Y/%m/%d')",
            "NULL|NULL|2024-01-31",
        ),
        (
            "str_to_date('200442 Monday', '%X%V %W'), str_to_date('10:11 PM', '%h:%i %p')",
            "2004-10-18 00:00:00|0000-01-01 22:11:00",
        ),
    ]);
}

#[test]
fn conditions() {
    check(&[
        (
            "ifnull(NULL, 1), ifnull(2, 1), nvl(NULL, 'a'), coalesce(NULL, NULL, 3), nullif(1, 1), nullif(1, 2)",
            "1|2|a|3|NULL|1",
        ),
        ("isnull(NULL), isnull(1), isnotnull(1), nullif('a', 'b')", "1|0|1|a"),
        (
            "greatest(1, 5, 3), least(1, 5, 3), greatest(1, NULL), greatest('a', 'b'), least(1.5, 2), greatest(1, 2e0)",
            "5|1|NULL|b|1.5|2",
        ),
        ("greatest(date '2024-01-31', date '2024-02-01'), least(NULL, 'a')", "2024-02-01|NULL"),
        ("CASE WHEN 1 = 2 THEN 'a' END, CASE 'x' WHEN 'x' THEN 1 ELSE 2 END", "NULL|1"),
    ]);
}

#[test]
fn strings() {
    check(&[
        (
            "concat('a', 1, 2.5), concat('a', NULL), concat_ws(',', 'a', NULL, 'b'), concat_ws(NULL, 'a')",
            "a12.5|NULL|a,b|NULL",
        ),
        (
            "substring('hello', 2, 3), substr('hello', -3), substring('hello' FROM 2 FOR 2), mid('hello', 0), left('hello', 2), right('hello', 3)",
            "ell|llo|el||he|llo",
        ),
        (
            "substring('héllo', 2, 2), left('héllo', 2), right('日本語', 2), char_length('日本語'), length('日本語'), reverse('日本')",
            "él|hé|本語|3|9|本日",
        ),
        (
            "substring_index('a.b.c', '.', 2), substring_index('a.b.c', '.', -1), split_part('a,b,c', ',', 2), split_part('a,b', ',', 3), split_part('a,b', ',', -1)",
            "a.b|c|b|NULL|b",
        ),
        ("split('a,b', ','), split('ab', '')", "[\"a\",\"b\"]|[\"a\",\"b\"]"),
        (
            "locate('l', 'hello'), locate('l', 'hello', 4), instr('hello', 'lo'), position('z' IN 'hello'), locate('語', '日本語')",
            "3|4|4|0|3",
        ),
        (
            "lpad('5', 3, '0'), rpad('5', 3, 'ab'), lpad('hello', 2, 'x'), lpad('5', 3), lpad('a', -1, 'x')",
            "005|5ab|he|  5|NULL",
        ),
        (
            "repeat('ab', 3), repeat('a', 0), replace('aXbX', 'X', 'y'), replace('a', '', 'b'), space(2)",
            "ababab||ayby|a|  ",
        ),
        (
            "trim('  a '), ltrim('  a '), rtrim(' a  '), trim(BOTH 'x' FROM 'xxaxx'), trim(LEADING 'x' FROM 'xxaxx'), trim(TRAILING 'xy' FROM 'axyxy')",
            "a|a | a|a|axx|a",
        ),
        ("upper('aé'), ucase('a'), lower('AÉ'), lcase('A'), initcap('hello world')", "AÉ|A|aé|a|Hello World"),
        (
            "ascii('A'), ascii(''), char(72, 105), ord('A'), hex('abc'), hex(255), unhex('616263'), bin(5), bin(-1) = repeat('1', 64)",
            "65|0|Hi|65|616263|FF|abc|101|1",
        ),
        (
            "find_in_set('b', 'a,b,c'), find_in_set('z', 'a'), field('b', 'a', 'b'), field(3, 1, 2, 3), field(NULL, 'a'), elt(2, 'a', 'b'), elt(5, 'a')",
            "2|0|2|3|0|b|NULL",
        ),
        (
            "starts_with('hello', 'he'), ends_with('hello', 'lo'), strcmp('a', 'b'), strcmp('b', 'a'), strcmp('a', 'a')",
            "1|1|-1|1|0",
        ),
        (
            "format(1234567.891, 2), format(-1234.5, 0), money_format(17014116), format(0.001, 2)",
            "1,234,567.89|-1,234|17,014,116.00|0.00",
        ),
        (
            "insert('Quadratic', 3, 4, 'What'), insert('abc', 9, 1, 'x'), quote('a\\'b'), translate('abc', 'ab', 'x')",
            "QuWhattic|abc|'a\\'b'|xc",
        ),
        (
            "to_base64('abc'), from_base64('YWJj'), url_encode('a b&c'), url_decode('a%20b'), null_or_empty(''), null_or_empty(NULL)",
            "YWJj|abc|a%20b%26c|a b|1|1",
        ),
        (
            "parse_url('https://u@h.io:80/p/q?k=v&l=w#r', 'HOST'), parse_url('https://h.io/p?k=v', 'QUERY', 'k'), parse_url('http://a/b#c', 'REF')",
            "h.io|v|c",
        ),
        ("length(NULL), upper(NULL), left(NULL, 1), length(12345)", "NULL|NULL|NULL|5"),
        ("concat(date '2024-01-31', ' ', true), length(1.50)", "2024-01-31 1|4"),
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
        (
            "regexp('abc', 'b'), regexp(NULL, 'a'), regexp_extract('AbCdE', '([[:lower:]]+)C([[:lower:]]+)', 1)",
            "1|NULL|b",
        ),
        (
            "regexp_extract('foothebar', 'foo(.*?)bar', 1), regexp_extract('foothebar', 'foo(.*?)bar', 0), regexp_extract('x', 'y', 0)",
            "the|foothebar|",
        ),
        ("regexp_replace('a b c', ' ', '-'), regexp_replace('a b c', '(b)', '<\\\\1>')", "a-b-c|a <b> c"),
    ]);
}

#[test]
fn mathematics() {
    check(&[
        (
            "abs(-5), abs(-1.5), abs(-2e0), sign(-3), sign(0), sqrt(16), sqrt(-1), pow(2, 10), power(2, 0.5) > 1.41",
            "5|1.5|2|-1|0|4|NULL|1024|1",
        ),
        ("ceil(1.2), ceiling(-1.2), floor(1.8), floor(-1.2), ceil(5), ceil(1.2e0), floor('1.5')", "2|-1|1|-2|5|2|1"),
        (
            "round(1.5), round(2.5), round(-1.5), round(1.235, 2), round(1234, -2), round(1.005e0, 2), round(2.5e0)",
            "2|3|-2|1.24|1200|1.01|3",
        ),
        ("truncate(1.999, 1), truncate(-1.999, 1), truncate(1999, -2), truncate(1.999e0, 2)", "1.9|-1.9|1900|1.99"),
        (
            "exp(0), ln(1), log(100), log(10, 1000) > 2.99, log2(8), log10(1000), ln(0), log(1, 5)",
            "1|0|4.605170185988092|1|3|3|NULL|NULL",
        ),
        (
            "pi(), sin(0), cos(0), degrees(pi()), radians(180) = pi(), atan2(0, 1), cot(1) > 0.64",
            "3.141592653589793|0|1|180|1|0|1",
        ),
        (
            "conv('ff', 16, 10), conv(15, 10, 2), conv('-5', 10, -16), conv('z', 36, 10), conv(-1, 10, 16)",
            "255|1111|-5|35|FFFFFFFFFFFFFFFF",
        ),
        ("bitand(5, 3), bitor(5, 3), bitxor(5, 3), bitnot(0), bit_count(7), bit_shift_left(1, 4)", "1|7|6|-1|3|16"),
        ("rand() BETWEEN 0 AND 1, rand(1) = rand(1), rand() = rand()", "1|1|0"),
        ("mod(10, 3), pmod(-1, 3), mod(10, 0), mod(5.5, 2)", "1|2|NULL|1.5"),
    ]);
}

#[test]
fn digests() {
    check(&[
        (
            "md5('hello'), sha1('abc'), crc32('MySQL')",
            "5d41402abc4b2a76b9719d911017c592|a9993e364706816aba3e25717850c26c9cd0d89d|3259397556",
        ),
        ("sha2('abc', 256), sha2('abc', 1)", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad|NULL"),
        (
            "murmur_hash3_32('hello'), murmur_hash3_32('hello', 'world'), murmur_hash3_32(NULL)",
            "1321743225|984713481|NULL",
        ),
        ("length(uuid()), md5(NULL), md5(123)", "36|NULL|202cb962ac59075b964b07152d234b70"),
    ]);
}

#[test]
fn json() {
    check(&[
        (
            "get_json_string('{\"a\": {\"b\": \"x\"}}', '$.a.b'), get_json_int('{\"a\": 5}', '$.a'), get_json_double('{\"a\": 1.5}', 'a')",
            "x|5|1.5",
        ),
        (
            "json_query('{\"a\": [1, {\"b\": 2}]}', '$.a[1]'), json_extract('{\"a\": \"x\"}', '$.a'), get_json_string('{\"a\": 1}', '$.b')",
            "{\"b\": 2}|\"x\"|NULL",
        ),
        (
            "parse_json('{\"a\":1,\"b\":[1,2]}'), parse_json('bad'), json_object('k', 1, 'l', 'x'), json_array(1, 'a', true, NULL)",
            "{\"a\": 1, \"b\": [1, 2]}|NULL|{\"k\": 1, \"l\": \"x\"}|[1, \"a\", true, null]",
        ),
        (
            "json_length('[1,2,3]'), json_keys('{\"a\":1,\"b\":2}'), json_exists('{\"a\":1}', '$.a'), json_valid('x')",
            "3|[\"a\", \"b\"]|1|0",
        ),
        ("json_unquote('\"a\"'), json_query(NULL, '$.a')", "a|NULL"),
        ("CAST('[1, 2]' AS JSON)", "[1, 2]"),
    ]);
}

#[test]
fn arrays() {
    check(&[
        ("array_length([1, 2, 3]), array_contains([1, 2], 2), cardinality(['a'])", "3|1|1"),
        ("[1, 2, 3][2], array_sum([1, 2.5]), array_join(['a', 'b'], '-'), array_length(NULL)", "2|3.5|a-b|NULL"),
        ("array_sum([9007199254740993, 0]), array_sum([1.1, 2.2]), array_sum([NULL, 1])", "9007199254740993|3.3|1"),
        ("CAST('[1, null, \"x\"]' AS ARRAY<INT>), CAST('1' AS ARRAY<INT>)", "[1,null,null]|NULL"),
        ("CAST('[[1],[2,3]]' AS ARRAY<ARRAY<INT>>), array_length(CAST('[]' AS ARRAY<INT>))", "[[1],[2,3]]|0"),
        ("CAST(parse_json('{\"a\":[true,2]}') -> 'a' AS ARRAY<BIGINT>)", "[1,2]"),
        ("CAST('[\"a\",\"b\"]' AS ARRAY<VARCHAR(10)>)", "[\"a\",\"b\"]"),
    ]);
}

#[test]
fn aggregates() {
    let f = Fixture::new();
    f.table(
        "t",
        &[batch(
            &[
                ("k", DataType::Utf8),
                ("v", DataType::Int32),
                ("b", DataType::Boolean),
                ("s", DataType::Utf8),
                ("d", DataType::Decimal128(10, 2)),
            ],
            &[
                &["a", "1", "true", "1.5", "1.10"],
                &["a", "2", "false", "2", "2.20"],
                &["b", "3", "true", "x", "\\N"],
                &["b", "\\N", "\\N", "\\N", "3.30"],
            ],
        )],
    );
    let one = |expr: &str, expected: &str| assert_eq!(f.value(&format!("SELECT {expr} FROM t")), expected, "{expr}");
    one("count(*), count(v), count(DISTINCT k), sum(v), avg(v), min(v), max(v)", "4|3|2|6|2|1|3");
    one("sum(b), avg(b), sum(s), sum(d), avg(d)", "2|0.6666666666666666|3.5|6.60|2.200000");
    one("bit_and(v), bit_or(v), bit_xor(v), bool_or(b), bool_and(b)", "0|3|0|1|0");
    one("any_value(k) IN ('a', 'b'), min_by(s, v), max_by(s, v), count_if(v > 1)", "1|1.5|x|2");
    one("array_agg(v ORDER BY v DESC), percentile_approx(v, 0.5)", "[3,2,1,null]|2");
    one("stddev_pop(v), var_samp(v), std(v) = stddev(v)", "0.816496580927726|1|1");
    one("sum(DISTINCT v), group_concat(DISTINCT v ORDER BY v DESC SEPARATOR '')", "6|321");
    one("max(k), min(d), sum(v) / count(*), sum(v) * 1.5", "b|1.10|1.5|9.0");
    assert_eq!(f.rows("SELECT k, group_concat(v) FROM t GROUP BY k ORDER BY k"), ["a|1,2", "b|3"]);
    assert_eq!(f.value("SELECT sum(v), count(*), avg(v) FROM t WHERE v > 100"), "NULL|0|NULL");
}

#[test]
fn functions_work_on_columns_with_null() {
    let f = Fixture::new();
    f.table(
        "t",
        &[batch(
            &[("d", DataType::Date32), ("ts", DATETIME), ("s", DataType::Utf8), ("n", DataType::Int64)],
            &[
                &["2024-01-31", "2024-01-31 10:11:12", "abc", "2"],
                &["\\N", "\\N", "\\N", "\\N"],
                &["2023-12-31", "2023-12-31 23:59:59", "de", "-1"],
            ],
        )],
    );
    assert_eq!(
        f.rows("SELECT year(d), hour(ts), upper(s), abs(n), date_format(ts, '%Y/%m'), date_trunc('month', d), left(s, n), days_add(d, n), concat(s, n), lpad(s, 4, '*') FROM t ORDER BY d DESC"),
        [
            "2024|10|ABC|2|2024/01|2024-01-01|ab|2024-02-02|abc2|*abc",
            "2023|23|DE|1|2023/12|2023-12-01||2023-12-30|de-1|**de",
            "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
        ]
    );
}
