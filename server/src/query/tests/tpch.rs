//! The 22 queries of TPC-H at scale 0.01, in the form a MySQL client sends them.
//!
//! All must run; four are computed a second time here, row by row over the generator, and must agree.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use super::support::Fixture;

const SCALE: f64 = 0.01;

static TPCH: LazyLock<Fixture> = LazyLock::new(|| {
    let fixture = Fixture::new();
    for (name, batches) in tables() {
        fixture.table(name, &batches);
    }
    fixture
});

/// Cuts a table into segments, so that plans have several files to read.
fn in_segments(batch: RecordBatch) -> Vec<RecordBatch> {
    const ROWS: usize = 20_000;
    (0..batch.num_rows().max(1))
        .step_by(ROWS)
        .map(|start| batch.slice(start, ROWS.min(batch.num_rows() - start)))
        .collect()
}

fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn small(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn money(values: impl Iterator<Item = i64>) -> ArrayRef {
    let digits: Decimal128Array = values.map(|value| Some(i128::from(value))).collect();
    Arc::new(digits.with_precision_and_scale(15, 2).unwrap())
}

fn dates(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<Date32Array>())
}

fn tables() -> Vec<(&'static str, Vec<RecordBatch>)> {
    let batch = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
    let n: Vec<_> = NationGenerator::new(SCALE, 1, 1).iter().collect();
    let r: Vec<_> = RegionGenerator::new(SCALE, 1, 1).iter().collect();
    let p: Vec<_> = PartGenerator::new(SCALE, 1, 1).iter().collect();
    let s: Vec<_> = SupplierGenerator::new(SCALE, 1, 1).iter().collect();
    let c: Vec<_> = CustomerGenerator::new(SCALE, 1, 1).iter().collect();
    let ps: Vec<_> = PartSuppGenerator::new(SCALE, 1, 1).iter().collect();
    let o: Vec<_> = OrderGenerator::new(SCALE, 1, 1).iter().collect();
    let l: Vec<_> = LineItemGenerator::new(SCALE, 1, 1).iter().collect();
    vec![
        (
            "nation",
            vec![batch(vec![
                ("n_nationkey", ints(n.iter().map(|x| x.n_nationkey))),
                ("n_name", texts(n.iter().map(|x| x.n_name.to_string()))),
                ("n_regionkey", ints(n.iter().map(|x| x.n_regionkey))),
                ("n_comment", texts(n.iter().map(|x| x.n_comment.to_string()))),
            ])],
        ),
        (
            "region",
            vec![batch(vec![
                ("r_regionkey", ints(r.iter().map(|x| x.r_regionkey))),
                ("r_name", texts(r.iter().map(|x| x.r_name.to_string()))),
                ("r_comment", texts(r.iter().map(|x| x.r_comment.to_string()))),
            ])],
        ),
        (
            "part",
            in_segments(batch(vec![
                ("p_partkey", ints(p.iter().map(|x| x.p_partkey))),
                ("p_name", texts(p.iter().map(|x| x.p_name.to_string()))),
                ("p_mfgr", texts(p.iter().map(|x| x.p_mfgr.to_string()))),
                ("p_brand", texts(p.iter().map(|x| x.p_brand.to_string()))),
                ("p_type", texts(p.iter().map(|x| x.p_type.to_string()))),
                ("p_size", small(p.iter().map(|x| x.p_size))),
                ("p_container", texts(p.iter().map(|x| x.p_container.to_string()))),
                ("p_retailprice", money(p.iter().map(|x| x.p_retailprice.into_inner()))),
                ("p_comment", texts(p.iter().map(|x| x.p_comment.to_string()))),
            ])),
        ),
        (
            "supplier",
            in_segments(batch(vec![
                ("s_suppkey", ints(s.iter().map(|x| x.s_suppkey))),
                ("s_name", texts(s.iter().map(|x| x.s_name.to_string()))),
                ("s_address", texts(s.iter().map(|x| x.s_address.to_string()))),
                ("s_nationkey", ints(s.iter().map(|x| x.s_nationkey))),
                ("s_phone", texts(s.iter().map(|x| x.s_phone.to_string()))),
                ("s_acctbal", money(s.iter().map(|x| x.s_acctbal.into_inner()))),
                ("s_comment", texts(s.iter().map(|x| x.s_comment.to_string()))),
            ])),
        ),
        (
            "customer",
            in_segments(batch(vec![
                ("c_custkey", ints(c.iter().map(|x| x.c_custkey))),
                ("c_name", texts(c.iter().map(|x| x.c_name.to_string()))),
                ("c_address", texts(c.iter().map(|x| x.c_address.to_string()))),
                ("c_nationkey", ints(c.iter().map(|x| x.c_nationkey))),
                ("c_phone", texts(c.iter().map(|x| x.c_phone.to_string()))),
                ("c_acctbal", money(c.iter().map(|x| x.c_acctbal.into_inner()))),
                ("c_mktsegment", texts(c.iter().map(|x| x.c_mktsegment.to_string()))),
                ("c_comment", texts(c.iter().map(|x| x.c_comment.to_string()))),
            ])),
        ),
        (
            "partsupp",
            in_segments(batch(vec![
                ("ps_partkey", ints(ps.iter().map(|x| x.ps_partkey))),
                ("ps_suppkey", ints(ps.iter().map(|x| x.ps_suppkey))),
                ("ps_availqty", small(ps.iter().map(|x| x.ps_availqty))),
                ("ps_supplycost", money(ps.iter().map(|x| x.ps_supplycost.into_inner()))),
                ("ps_comment", texts(ps.iter().map(|x| x.ps_comment.to_string()))),
            ])),
        ),
        (
            "orders",
            in_segments(batch(vec![
                ("o_orderkey", ints(o.iter().map(|x| x.o_orderkey))),
                ("o_custkey", ints(o.iter().map(|x| x.o_custkey))),
                ("o_orderstatus", texts(o.iter().map(|x| x.o_orderstatus.to_string()))),
                ("o_totalprice", money(o.iter().map(|x| x.o_totalprice.into_inner()))),
                ("o_orderdate", dates(o.iter().map(|x| x.o_orderdate.to_unix_epoch()))),
                ("o_orderpriority", texts(o.iter().map(|x| x.o_orderpriority.to_string()))),
                ("o_clerk", texts(o.iter().map(|x| x.o_clerk.to_string()))),
                ("o_shippriority", small(o.iter().map(|x| x.o_shippriority))),
                ("o_comment", texts(o.iter().map(|x| x.o_comment.to_string()))),
            ])),
        ),
        (
            "lineitem",
            in_segments(batch(vec![
                ("l_orderkey", ints(l.iter().map(|x| x.l_orderkey))),
                ("l_partkey", ints(l.iter().map(|x| x.l_partkey))),
                ("l_suppkey", ints(l.iter().map(|x| x.l_suppkey))),
                ("l_linenumber", small(l.iter().map(|x| x.l_linenumber))),
                ("l_quantity", money(l.iter().map(|x| x.l_quantity * 100))),
                ("l_extendedprice", money(l.iter().map(|x| x.l_extendedprice.into_inner()))),
                ("l_discount", money(l.iter().map(|x| x.l_discount.into_inner()))),
                ("l_tax", money(l.iter().map(|x| x.l_tax.into_inner()))),
                ("l_returnflag", texts(l.iter().map(|x| x.l_returnflag.to_string()))),
                ("l_linestatus", texts(l.iter().map(|x| x.l_linestatus.to_string()))),
                ("l_shipdate", dates(l.iter().map(|x| x.l_shipdate.to_unix_epoch()))),
                ("l_commitdate", dates(l.iter().map(|x| x.l_commitdate.to_unix_epoch()))),
                ("l_receiptdate", dates(l.iter().map(|x| x.l_receiptdate.to_unix_epoch()))),
                ("l_shipinstruct", texts(l.iter().map(|x| x.l_shipinstruct.to_string()))),
                ("l_shipmode", texts(l.iter().map(|x| x.l_shipmode.to_string()))),
                ("l_comment", texts(l.iter().map(|x| x.l_comment.to_string()))),
            ])),
        ),
    ]
}

/// The queries, numbered from 1, and the rows each answers at this scale.
const QUERIES: [(&str, usize); 22] = [
    ("select l_returnflag, l_linestatus, sum(l_quantity) as sum_qty, sum(l_extendedprice) as sum_base_price,
        sum(l_extendedprice * (1 - l_discount)) as sum_disc_price,
        sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge,
        avg(l_quantity) as avg_qty, avg(l_extendedprice) as avg_price, avg(l_discount) as avg_disc, count(*) as count_order
      from lineitem where l_shipdate <= date '1998-12-01' - interval '90' day
      group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus", 4),
    ("select s_acctbal, s_name, n_name, p_partkey, p_mfgr, s_address, s_phone, s_comment
      from part, supplier, partsupp, nation, region
      where p_partkey = ps_partkey and s_suppkey = ps_suppkey and p_size = 15 and p_type like '%BRASS'
        and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'EUROPE'
        and ps_supplycost = (select min(ps_supplycost) from partsupp, supplier, nation, region
          where p_partkey = ps_partkey and s_suppkey = ps_suppkey and s_nationkey = n_nationkey
            and n_regionkey = r_regionkey and r_name = 'EUROPE')
      order by s_acctbal desc, n_name, s_name, p_partkey limit 100", 4),
    ("select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate, o_shippriority
      from customer, orders, lineitem
      where c_mktsegment = 'BUILDING' and c_custkey = o_custkey and l_orderkey = o_orderkey
        and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15'
      group by l_orderkey, o_orderdate, o_shippriority order by revenue desc, o_orderdate limit 10", 10),
    ("select o_orderpriority, count(*) as order_count from orders
      where o_orderdate >= date '1993-07-01' and o_orderdate < date '1993-07-01' + interval '3' month
        and exists (select * from lineitem where l_orderkey = o_orderkey and l_commitdate < l_receiptdate)
      group by o_orderpriority order by o_orderpriority", 5),
    ("select n_name, sum(l_extendedprice * (1 - l_discount)) as revenue
      from customer, orders, lineitem, supplier, nation, region
      where c_custkey = o_custkey and l_orderkey = o_orderkey and l_suppkey = s_suppkey and c_nationkey = s_nationkey
        and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'ASIA'
        and o_orderdate >= date '1994-01-01' and o_orderdate < date '1994-01-01' + interval '1' year
      group by n_name order by revenue desc", 5),
    ("select sum(l_extendedprice * l_discount) as revenue from lineitem
      where l_shipdate >= date '1994-01-01' and l_shipdate < date '1994-01-01' + interval '1' year
        and l_discount between 0.06 - 0.01 and 0.06 + 0.01 and l_quantity < 24", 1),
    ("select supp_nation, cust_nation, l_year, sum(volume) as revenue
      from (select n1.n_name as supp_nation, n2.n_name as cust_nation, extract(year from l_shipdate) as l_year,
              l_extendedprice * (1 - l_discount) as volume
            from supplier, lineitem, orders, customer, nation n1, nation n2
            where s_suppkey = l_suppkey and o_orderkey = l_orderkey and c_custkey = o_custkey
              and s_nationkey = n1.n_nationkey and c_nationkey = n2.n_nationkey
              and ((n1.n_name = 'FRANCE' and n2.n_name = 'GERMANY') or (n1.n_name = 'GERMANY' and n2.n_name = 'FRANCE'))
              and l_shipdate between date '1995-01-01' and date '1996-12-31') as shipping
      group by supp_nation, cust_nation, l_year order by supp_nation, cust_nation, l_year", 4),
    ("select o_year, sum(case when nation = 'BRAZIL' then volume else 0 end) / sum(volume) as mkt_share
      from (select extract(year from o_orderdate) as o_year, l_extendedprice * (1 - l_discount) as volume,
              n2.n_name as nation
            from part, supplier, lineitem, orders, customer, nation n1, nation n2, region
            where p_partkey = l_partkey and s_suppkey = l_suppkey and l_orderkey = o_orderkey and o_custkey = c_custkey
              and c_nationkey = n1.n_nationkey and n1.n_regionkey = r_regionkey and r_name = 'AMERICA'
              and s_nationkey = n2.n_nationkey and o_orderdate between date '1995-01-01' and date '1996-12-31'
              and p_type = 'ECONOMY ANODIZED STEEL') as all_nations
      group by o_year order by o_year", 2),
    ("select nation, o_year, sum(amount) as sum_profit
      from (select n_name as nation, extract(year from o_orderdate) as o_year,
              l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity as amount
            from part, supplier, lineitem, partsupp, orders, nation
            where s_suppkey = l_suppkey and ps_suppkey = l_suppkey and ps_partkey = l_partkey and p_partkey = l_partkey
              and o_orderkey = l_orderkey and s_nationkey = n_nationkey and p_name like '%green%') as profit
      group by nation, o_year order by nation, o_year desc", 173),
    ("select c_custkey, c_name, sum(l_extendedprice * (1 - l_discount)) as revenue, c_acctbal, n_name, c_address,
        c_phone, c_comment
      from customer, orders, lineitem, nation
      where c_custkey = o_custkey and l_orderkey = o_orderkey and o_orderdate >= date '1993-10-01'
        and o_orderdate < date '1993-10-01' + interval '3' month and l_returnflag = 'R' and c_nationkey = n_nationkey
      group by c_custkey, c_name, c_acctbal, c_phone, n_name, c_address, c_comment
      order by revenue desc limit 20", 20),
    ("select ps_partkey, sum(ps_supplycost * ps_availqty) as value from partsupp, supplier, nation
      where ps_suppkey = s_suppkey and s_nationkey = n_nationkey and n_name = 'GERMANY'
      group by ps_partkey having sum(ps_supplycost * ps_availqty) >
        (select sum(ps_supplycost * ps_availqty) * 0.01 from partsupp, supplier, nation
         where ps_suppkey = s_suppkey and s_nationkey = n_nationkey and n_name = 'GERMANY')
      order by value desc", 1),
    ("select l_shipmode,
        sum(case when o_orderpriority = '1-URGENT' or o_orderpriority = '2-HIGH' then 1 else 0 end) as high_line_count,
        sum(case when o_orderpriority <> '1-URGENT' and o_orderpriority <> '2-HIGH' then 1 else 0 end) as low_line_count
      from orders, lineitem
      where o_orderkey = l_orderkey and l_shipmode in ('MAIL', 'SHIP') and l_commitdate < l_receiptdate
        and l_shipdate < l_commitdate and l_receiptdate >= date '1994-01-01'
        and l_receiptdate < date '1994-01-01' + interval '1' year
      group by l_shipmode order by l_shipmode", 2),
    ("select c_count, count(*) as custdist
      from (select c_custkey, count(o_orderkey) from customer left outer join orders
              on c_custkey = o_custkey and o_comment not like '%special%requests%'
            group by c_custkey) as c_orders (c_custkey, c_count)
      group by c_count order by custdist desc, c_count desc", 33),
    ("select 100.00 * sum(case when p_type like 'PROMO%' then l_extendedprice * (1 - l_discount) else 0 end)
        / sum(l_extendedprice * (1 - l_discount)) as promo_revenue
      from lineitem, part where l_partkey = p_partkey and l_shipdate >= date '1995-09-01'
        and l_shipdate < date '1995-09-01' + interval '1' month", 1),
    ("with revenue (supplier_no, total_revenue) as (
        select l_suppkey, sum(l_extendedprice * (1 - l_discount)) from lineitem
        where l_shipdate >= date '1996-01-01' and l_shipdate < date '1996-01-01' + interval '3' month
        group by l_suppkey)
      select s_suppkey, s_name, s_address, s_phone, total_revenue from supplier, revenue
      where s_suppkey = supplier_no and total_revenue = (select max(total_revenue) from revenue) order by s_suppkey", 1),
    ("select p_brand, p_type, p_size, count(distinct ps_suppkey) as supplier_cnt from partsupp, part
      where p_partkey = ps_partkey and p_brand <> 'Brand#45' and p_type not like 'MEDIUM POLISHED%'
        and p_size in (49, 14, 23, 45, 19, 3, 36, 9)
        and ps_suppkey not in (select s_suppkey from supplier where s_comment like '%Customer%Complaints%')
      group by p_brand, p_type, p_size order by supplier_cnt desc, p_brand, p_type, p_size", 296),
    ("select sum(l_extendedprice) / 7.0 as avg_yearly from lineitem, part
      where p_partkey = l_partkey and p_brand = 'Brand#23' and p_container = 'MED BOX'
        and l_quantity < (select 0.2 * avg(l_quantity) from lineitem where l_partkey = p_partkey)", 1),
    ("select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity)
      from customer, orders, lineitem
      where o_orderkey in (select l_orderkey from lineitem group by l_orderkey having sum(l_quantity) > 300)
        and c_custkey = o_custkey and o_orderkey = l_orderkey
      group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
      order by o_totalprice desc, o_orderdate limit 100", 2),
    ("select sum(l_extendedprice * (1 - l_discount)) as revenue from lineitem, part
      where (p_partkey = l_partkey and p_brand = 'Brand#12' and p_container in ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG')
          and l_quantity >= 1 and l_quantity <= 1 + 10 and p_size between 1 and 5
          and l_shipmode in ('AIR', 'AIR REG') and l_shipinstruct = 'DELIVER IN PERSON')
        or (p_partkey = l_partkey and p_brand = 'Brand#23' and p_container in ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK')
          and l_quantity >= 10 and l_quantity <= 10 + 10 and p_size between 1 and 10
          and l_shipmode in ('AIR', 'AIR REG') and l_shipinstruct = 'DELIVER IN PERSON')
        or (p_partkey = l_partkey and p_brand = 'Brand#34' and p_container in ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG')
          and l_quantity >= 20 and l_quantity <= 20 + 10 and p_size between 1 and 15
          and l_shipmode in ('AIR', 'AIR REG') and l_shipinstruct = 'DELIVER IN PERSON')", 1),
    ("select s_name, s_address from supplier, nation
      where s_suppkey in (select ps_suppkey from partsupp
          where ps_partkey in (select p_partkey from part where p_name like 'forest%')
            and ps_availqty > (select 0.5 * sum(l_quantity) from lineitem
              where l_partkey = ps_partkey and l_suppkey = ps_suppkey and l_shipdate >= date '1994-01-01'
                and l_shipdate < date '1994-01-01' + interval '1' year))
        and s_nationkey = n_nationkey and n_name = 'CANADA' order by s_name", 1),
    ("select s_name, count(*) as numwait from supplier, lineitem l1, orders, nation
      where s_suppkey = l1.l_suppkey and o_orderkey = l1.l_orderkey and o_orderstatus = 'F'
        and l1.l_receiptdate > l1.l_commitdate
        and exists (select * from lineitem l2 where l2.l_orderkey = l1.l_orderkey and l2.l_suppkey <> l1.l_suppkey)
        and not exists (select * from lineitem l3 where l3.l_orderkey = l1.l_orderkey and l3.l_suppkey <> l1.l_suppkey
          and l3.l_receiptdate > l3.l_commitdate)
        and s_nationkey = n_nationkey and n_name = 'SAUDI ARABIA'
      group by s_name order by numwait desc, s_name limit 100", 1),
    ("select cntrycode, count(*) as numcust, sum(c_acctbal) as totacctbal
      from (select substring(c_phone from 1 for 2) as cntrycode, c_acctbal from customer
            where substring(c_phone from 1 for 2) in ('13', '31', '23', '29', '30', '18', '17')
              and c_acctbal > (select avg(c_acctbal) from customer where c_acctbal > 0.00
                and substring(c_phone from 1 for 2) in ('13', '31', '23', '29', '30', '18', '17'))
              and not exists (select * from orders where o_custkey = c_custkey)) as custsale
      group by cntrycode order by cntrycode", 7),
];

#[test]
fn all_queries_run() {
    let mut wrong = Vec::new();
    for (index, (sql, rows)) in QUERIES.iter().enumerate() {
        let start = std::time::Instant::now();
        match TPCH.try_query(sql) {
            Ok((_, found)) if found.len() == *rows => {}
            Ok((_, found)) => wrong.push(format!("Q{}: {} rows, not {rows}", index + 1, found.len())),
            Err(error) => wrong.push(format!("Q{}: {error:?}", index + 1)),
        }
        println!("Q{}: {:?}", index + 1, start.elapsed());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn answers_agree_with_the_generator() {
    // Q6, in ten-thousandths.
    let q6: i64 = LineItemGenerator::new(SCALE, 1, 1)
        .iter()
        .filter(|l| {
            let date = super::super::convert::datetime::civil(i64::from(l.l_shipdate.to_unix_epoch()));
            date.year == 1994 && (5..=7).contains(&l.l_discount.into_inner()) && l.l_quantity < 24
        })
        .map(|l| l.l_extendedprice.into_inner() * l.l_discount.into_inner())
        .sum();
    let expected = format!("{}.{:04}", q6 / 10_000, q6 % 10_000);
    assert_eq!(TPCH.value(QUERIES[5].0), expected);

    // Q1: what each group counts and sums.
    let mut groups = std::collections::BTreeMap::<(String, String), (i64, i64)>::new();
    let last = super::super::convert::datetime::days_of_civil(1998, 9, 2);
    for l in LineItemGenerator::new(SCALE, 1, 1).iter() {
        if i64::from(l.l_shipdate.to_unix_epoch()) <= last {
            let group = groups.entry((l.l_returnflag.to_string(), l.l_linestatus.to_string())).or_default();
            group.0 += l.l_quantity;
            group.1 += 1;
        }
    }
    let (_, rows) = TPCH.try_query(QUERIES[0].0).unwrap();
    let found: Vec<String> = rows.iter().map(|row| format!("{}{} {} {}", row[0], row[1], row[2], row[9])).collect();
    let expected: Vec<String> = groups
        .iter()
        .map(|((flag, status), (quantity, count))| format!("{flag}{status} {quantity}.00 {count}"))
        .collect();
    assert_eq!(found, expected);

    // Q13: how many customers have how many orders.
    let mut orders = std::collections::HashMap::<i64, i64>::new();
    for c in CustomerGenerator::new(SCALE, 1, 1).iter() {
        orders.insert(c.c_custkey, 0);
    }
    for o in OrderGenerator::new(SCALE, 1, 1).iter() {
        let special = o.o_comment.find("special").is_some_and(|at| o.o_comment[at + 7..].contains("requests"));
        if !special {
            *orders.get_mut(&o.o_custkey).unwrap() += 1;
        }
    }
    let mut counts = std::collections::HashMap::<i64, i64>::new();
    orders.values().for_each(|count| *counts.entry(*count).or_default() += 1);
    let mut expected: Vec<(i64, i64)> = counts.into_iter().map(|(count, customers)| (customers, count)).collect();
    expected.sort_by(|a, b| b.cmp(a));
    let expected: Vec<String> = expected.iter().map(|(customers, count)| format!("{count}|{customers}")).collect();
    assert_eq!(TPCH.rows(QUERIES[12].0), expected);

    // Q12: lines by ship mode, urgent orders apart.
    let urgent: std::collections::HashSet<i64> = OrderGenerator::new(SCALE, 1, 1)
        .iter()
        .filter(|o| ["1-URGENT", "2-HIGH"].contains(&o.o_orderpriority))
        .map(|o| o.o_orderkey)
        .collect();
    let mut modes = std::collections::BTreeMap::<String, (i64, i64)>::new();
    for l in LineItemGenerator::new(SCALE, 1, 1).iter() {
        let (ship, commit, receipt) =
            (l.l_shipdate.to_unix_epoch(), l.l_commitdate.to_unix_epoch(), l.l_receiptdate.to_unix_epoch());
        let year = super::super::convert::datetime::civil(i64::from(receipt)).year;
        if ["MAIL", "SHIP"].contains(&l.l_shipmode) && commit < receipt && ship < commit && year == 1994 {
            let counts = modes.entry(l.l_shipmode.to_string()).or_default();
            if urgent.contains(&l.l_orderkey) {
                counts.0 += 1;
            } else {
                counts.1 += 1;
            }
        }
    }
    let expected: Vec<String> = modes.iter().map(|(mode, (high, low))| format!("{mode}|{high}|{low}")).collect();
    assert_eq!(TPCH.rows(QUERIES[11].0), expected);
}

#[test]
fn joins_are_ordered_by_statistics() {
    let plan = TPCH.explain(
        "select count(*) from lineitem, nation, supplier where l_suppkey = s_suppkey and s_nationkey = n_nationkey",
    );
    // The build sides are the small tables, so lineitem is the last scan in the tree.
    let scans: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.trim().strip_prefix("OlapScan: db."))
        .map(|rest| rest.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(scans.last(), Some(&"lineitem"), "{plan}");
}
