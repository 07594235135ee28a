"""Who wrote each line of ordinary days; the owners were written down before the first answer."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.days.people import Day, Person
from tests.trace.agents.firing import events, log_in

RUFF = Path(sys.executable).with_name("ruff")
FORMATTER = f"""#!/bin/sh
names=$(git diff --cached --name-only --diff-filter=d -- '*.py')
[ -n "$names" ] || exit 0
{shlex.quote(str(RUFF))} format --isolated --quiet $names && git add $names
"""
SHOP = """\
from decimal import Decimal


def total(basket):
    return sum(line.price * line.count for line in basket.lines)
"""
DISCOUNTS = """\
from decimal import Decimal

RATES = { 'gold': Decimal('0.20'), 'silver': Decimal('0.10'), 'bronze': Decimal('0.05'), '': Decimal(0) }


def discount_of(member, basket, today):
    if member.level not in RATES: return Decimal(0)
    return sum((line.price * line.count * RATES[member.level] for line in basket.lines if line.is_reduced(today)), Decimal(0))
"""  # noqa: E501


def formats_commits(day: Day) -> None:
    """Has a hook of git format what is committed."""
    hook = day.top / ".git/hooks/pre-commit"
    hook.write_text(FORMATTER)
    hook.chmod(0o755)


@pytest.fixture
def day(tmp_path: Path) -> Day:
    day = Day(tmp_path / "day")
    with day.agent("hello") as agent:
        agent.asked("Say hello")
    day.ada.types({"shop.py": SHOP})
    day.ada.commits("Begin")
    return day


@pytest.mark.promise("A5e")
def test_an_agent_writes_a_person_commits_and_a_formatter_changes_the_form(day):
    formats_commits(day)
    with day.agent("discounts") as agent:
        agent.asked("Members get a discount")
        agent.writes("discounts.py", DISCOUNTS)
        agent.edits("shop.py", "def total(basket):", "def total(basket, member, today):")
        agent.edits(
            "shop.py",
            "    return sum(line.price * line.count for line in basket.lines)\n",
            "    whole = sum(line.price * line.count for line in basket.lines)\n"
            "    return whole - discount_of(member, basket, today)\n",
        )
        agent.edits(
            "shop.py", "import Decimal\n", "import Decimal\n\nfrom discounts import discount_of\n"
        )
    day.ada.commits("Members get a discount")
    day.ada.changes(
        "shop.py",
        "    whole = sum(line.price * line.count for line in basket.lines)\n"
        "    return whole - discount_of(member, basket, today)\n",
        "    if basket.lines:\n"
        "        whole = sum(line.price * line.count for line in basket.lines)\n"
        "        return whole - discount_of(member, basket, today)\n"
        "    return Decimal('0.00')  # nothing to pay\n",
    )
    day.ada.commits("An empty basket costs nothing")
    with day.agent("levels") as agent:
        agent.asked("There is a level platinum")
        agent.edits("discounts.py", "RATES = {\n", "RATES = {\n    'platinum': Decimal('0.25'),\n")
        agent.shell("git commit -q -am 'Platinum'")
    day.judge(
        {
            "discounts.py": """
discounts|from decimal import Decimal

discounts|RATES = {
levels   |    "platinum": Decimal("0.25"),
discounts|    "gold": Decimal("0.20"),
discounts|    "silver": Decimal("0.10"),
discounts|    "bronze": Decimal("0.05"),
discounts|    "": Decimal(0),
discounts|}


discounts|def discount_of(member, basket, today):
discounts|    if member.level not in RATES:
discounts|        return Decimal(0)
discounts|    return sum(
discounts|        (
discounts|            line.price * line.count * RATES[member.level]
discounts|            for line in basket.lines
discounts|            if line.is_reduced(today)
discounts|        ),
discounts|        Decimal(0),
discounts|    )
""",
            "shop.py": """
ada      |from decimal import Decimal

discounts|from discounts import discount_of


discounts|def total(basket, member, today):
ada      |    if basket.lines:
discounts|        whole = sum(line.price * line.count for line in basket.lines)
discounts|        return whole - discount_of(member, basket, today)
ada      |    return Decimal("0.00")  # nothing to pay
""",
        }
    )


PARCELS = """\
LIMITS_KG = {"letter": 0.5, "packet": 2, "parcel": 31.5}


def carrier_for(weight_kg, country):
    if weight_kg <= LIMITS_KG["letter"]:
        return "post"
    if country in SMALL_STATES:
        return "courier"
    return cheapest(weight_kg, country)


def cheapest(weight_kg, country):
    offers = [offer for offer in OFFERS if offer.serves(country)]
    fitting = [offer for offer in offers if offer.limit_kg >= weight_kg]
    if not fitting:
        raise ValueError(f"nobody carries {weight_kg} kg to {country}")
    return min(fitting, key=lambda offer: offer.price(weight_kg)).name
"""


SUGGESTED = '?|LIMITS_KG = {"letter": 0.5, "packet": 2, "parcel": 30}  # the van has no crane'


@pytest.mark.promise("A5e")
def test_a_pull_request_with_a_suggestion_is_updated_and_squashed(day):
    forge, ben = day.folder / "forge", Person(day, "Ben")
    day.ada.git("clone", "-q", "--bare", day.top, forge)
    day.ada.git("remote", "add", "origin", forge)
    day.ada.git("switch", "-q", "-c", "parcels")
    with day.agent("parcels") as agent:
        agent.asked("Choose a carrier for a parcel")
        agent.writes("parcels.py", PARCELS)
        agent.shell("git add parcels.py && git commit -q -m 'Choose a carrier'")
        agent.edits(
            "shop.py",
            "def total(basket):\n",
            "def shipping(basket, country):\n"
            "    return carrier_for(basket.weight_kg, country).price(basket.weight_kg)\n"
            "\n\n"
            "def total(basket):\n",
        )
        agent.shell("git commit -q -am 'The basket is shipped'")
        agent.shell("git push -q origin parcels")
    # on the forge, where nothing records: main goes on, the branch is updated, Ben suggests a line
    clone = day.folder / "clone"
    ben.git("clone", "-q", forge, clone)
    ben.types({"opening.py": "HOURS = range(9, 18)\n"}, clone)
    ben.commits("We open at nine", clone)
    ben.git("push", "-q", "origin", "main", root=clone)
    ben.git("switch", "-q", "parcels", root=clone)
    ben.git("merge", "-q", "-m", "Merge branch 'main' into parcels", "main", root=clone)
    ben.changes("parcels.py", '"parcel": 31.5}', '"parcel": 30}  # the van has no crane', clone)
    ben.commits("Update parcels.py", clone)
    ben.git("switch", "-q", "main", root=clone)
    ben.git("merge", "-q", "--squash", "parcels", root=clone)
    ben.git("commit", "-q", "-m", "Choose a carrier (#1)", root=clone)
    ben.git("push", "-q", "origin", "main", root=clone)
    day.ada.git("switch", "-q", "main")
    day.ada.git("pull", "-q", "--ff-only", "origin", "main")
    day.ada.git("branch", "-q", "-D", "parcels")
    own = [f"parcels|{line}" for line in PARCELS.splitlines()[1:]]
    day.judge(
        {
            "parcels.py": "\n".join([SUGGESTED, *own]),
            "opening.py": "?|HOURS = range(9, 18)",
            "shop.py": """
ada    |from decimal import Decimal


parcels|def shipping(basket, country):
parcels|    return carrier_for(basket.weight_kg, country).price(basket.weight_kg)


ada    |def total(basket):
ada    |    return sum(line.price * line.count for line in basket.lines)
""",
        }
    )


INVOICE = """\
def invoice_number(year, count):
    return f"{year}-{count:05d}"


def invoice_lines(basket):
    for line in basket.lines:
        yield line.name, line.count, line.price


def invoice_footer(shop):
    return f"{shop.name}, {shop.street}, {shop.town}"
"""
STAMPS = """\
import time


def stamp_of(moment):
    return time.strftime("%d.%m.%Y %H:%M", time.localtime(moment))
"""


@pytest.mark.promise("A5e")
def test_a_refactoring_moves_code_and_renames_files(day):
    with day.agent("invoices") as agent:
        agent.asked("We need invoices")
        agent.writes("draft.py", INVOICE)
        agent.shell("mkdir -p billing && mv draft.py billing/invoice.py")
        agent.writes("stamps.py", STAMPS)
    day.ada.commits("Invoices")
    # Ada moves a function to another file, and renames one in which little stays
    footer = INVOICE.partition("def invoice_footer")[2]
    day.ada.changes("billing/invoice.py", f"\n\ndef invoice_footer{footer}", "")
    day.ada.types({"billing/layout.py": f"WIDTH_MM = 210\n\n\ndef invoice_footer{footer}"})
    day.ada.commits("The layout has its own file")
    day.ada.git("mv", "stamps.py", "billing/moments.py")
    day.ada.changes(
        "billing/moments.py", "import time\n", '"""Moments as people read them."""\n\nimport time\n'
    )
    day.ada.commits("Stamps are moments")
    with day.agent("names") as agent:
        agent.asked("Name the module after what it does")
        agent.shell("git mv shop.py pricing.py")
        agent.edits("pricing.py", "def total(", "def total_price(")
        agent.shell("git commit -q -am 'Pricing'")
    day.judge(
        {
            "billing/invoice.py": """
invoices|def invoice_number(year, count):
invoices|    return f"{year}-{count:05d}"


invoices|def invoice_lines(basket):
invoices|    for line in basket.lines:
invoices|        yield line.name, line.count, line.price
""",
            "billing/layout.py": """
ada     |WIDTH_MM = 210


invoices|def invoice_footer(shop):
invoices|    return f"{shop.name}, {shop.street}, {shop.town}"
""",
            "billing/moments.py": '''
ada     |"""Moments as people read them."""

invoices|import time


invoices|def stamp_of(moment):
invoices|    return time.strftime("%d.%m.%Y %H:%M", time.localtime(moment))
''',
            "pricing.py": """
ada  |from decimal import Decimal


names|def total_price(basket):
ada  |    return sum(line.price * line.count for line in basket.lines)
""",
        }
    )


@pytest.mark.promise("A5e")
def test_two_agents_and_a_person_work_in_one_tree(day):
    day.ada.types({"stock.py": "STOCK = {}\n\n# incoming\n\n# outgoing\n\n# counting\n"})
    day.ada.commits("Stock")
    with day.agent("incoming") as first, day.agent("outgoing") as second:
        first.asked("Goods come in")
        second.asked("Goods go out")
        first.edits(
            "stock.py",
            "# incoming\n",
            "# incoming\ndef receive(article, count):\n"
            "    STOCK[article] = STOCK.get(article, 0) + count\n    return STOCK[article]\n",
        )
        second.edits(
            "stock.py",
            "# outgoing\n",
            "# outgoing\ndef send(article, count):\n"
            "    STOCK[article] = STOCK.get(article, 0) - count\n    return STOCK[article]\n",
        )
        day.ada.changes(
            "stock.py",
            "# counting\n",
            "# counting\ndef is_available(article):\n    return STOCK.get(article, 0) > 0\n",
        )
        # the first commits all that is there, as agents do
        first.shell("git commit -q -am 'Goods come in'")
        second.writes(
            "returns.py",
            "def give_back(order):\n    return [line.article for line in order.lines]\n",
        )
        day.ada.types({"notes.txt": "count the shelf by the door\n"})
        day.ada.git("add", "notes.txt")
        day.ada.git("commit", "-q", "-m", "A note")
        second.shell("git add returns.py && git commit -q -m 'Goods come back'")
    day.judge(
        {
            "stock.py": """
ada     |STOCK = {}

ada     |# incoming
incoming|def receive(article, count):
incoming|    STOCK[article] = STOCK.get(article, 0) + count
incoming|    return STOCK[article]

ada     |# outgoing
outgoing|def send(article, count):
outgoing|    STOCK[article] = STOCK.get(article, 0) - count
outgoing|    return STOCK[article]

ada     |# counting
ada?    |def is_available(article):
ada?    |    return STOCK.get(article, 0) > 0
""",
            "returns.py": """
outgoing|def give_back(order):
outgoing|    return [line.article for line in order.lines]
""",
            "notes.txt": "ada|count the shelf by the door",
        }
    )


@pytest.mark.promise("A5e")
def test_stashes_and_patches_carry_work_between_three_worktrees(day):
    one, two = day.worktree("one"), day.worktree("two")
    with day.agent("search", one) as agent:
        agent.asked("Customers search for articles")
        agent.edits(
            "shop.py",
            "def total(",
            "def matching(articles, words):\n"
            "    wanted = [word.casefold() for word in words.split()]\n"
            "    return [one for one in articles if all(word in one.text for word in wanted)]\n"
            "\n\ndef total(",
        )
        agent.shell("git stash -q")
    day.ada.git("stash", "pop", "-q", root=two)
    day.ada.commits("Search", two)
    with day.agent("sorting", one) as agent:
        agent.asked("The cheapest comes first")
        agent.writes(
            "sorting.py",
            "def cheapest_first(articles):\n"
            "    return sorted(articles, key=lambda one: (one.price, one.name))\n"
            "\n\ndef newest_first(articles):\n"
            "    return sorted(articles, key=lambda one: one.arrived_at, reverse=True)\n",
        )
    patch = day.folder / "sorting.patch"
    day.ada.git("add", "-A", root=one)
    patch.write_text(day.ada.git("diff", "--cached", root=one) + "\n")
    day.ada.git("apply", patch)
    day.ada.types({"colours.py": "COLOURS = ('red', 'blue')\n"})
    day.ada.commits("Sorting, and colours")
    day.judge(
        {
            "shop.py": """
ada   |from decimal import Decimal


search|def matching(articles, words):
search|    wanted = [word.casefold() for word in words.split()]
search|    return [one for one in articles if all(word in one.text for word in wanted)]


ada   |def total(basket):
ada   |    return sum(line.price * line.count for line in basket.lines)
"""
        },
        two,
    )
    day.judge(
        {
            "sorting.py": """
sorting|def cheapest_first(articles):
sorting|    return sorted(articles, key=lambda one: (one.price, one.name))


sorting|def newest_first(articles):
sorting|    return sorted(articles, key=lambda one: one.arrived_at, reverse=True)
""",
            "colours.py": "ada|COLOURS = ('red', 'blue')",
        }
    )


HEADER = "# Copyright (c) The shop. All rights reserved.\n# Licence: see LICENCE.txt\n\n"
CARD = (
    HEADER
    + """\
import json
from pathlib import Path


def read_cards(path):
    if not Path(path).exists():
        return None
    return json.loads(Path(path).read_text())
"""
)
BANK = (
    HEADER
    + """\
import json
from pathlib import Path


def read_accounts(path):
    if Path(path).suffix != ".json":
        return None
    return json.loads(Path(path).read_text())["accounts"]
"""
)


@pytest.mark.promise("A5e")
def test_both_sides_write_what_everybody_writes_and_the_person_copies(day):
    day.ada.types({"bank.py": BANK})
    day.ada.commits("Accounts")
    with day.agent("cards") as agent:
        agent.asked("Customers pay by card")
        agent.writes("cards.py", CARD)
        agent.shell("git add cards.py && git commit -q -m 'Cards'")
    # Ada writes the like by hand, and copies one function of the agent
    vouchers = (
        HEADER
        + "import json\nfrom pathlib import Path\n\n\ndef spend_voucher(code, amount):\n"
        + "    if not code.isdigit():\n        return None\n    return amount - VALUES[code]\n"
    )
    day.ada.types({"vouchers.py": vouchers})
    day.ada.commits("Vouchers")
    body = CARD[CARD.index("def read_cards") :]
    day.ada.types({"copied.py": f"CASH = 'cash'\n\n\n{body}"})
    day.ada.commits("Cash, and the cards once more")
    drawn = [f"{'cards'}|{line}" for line in CARD.splitlines()]
    day.judge(
        {
            "cards.py": "\n".join(drawn),
            "bank.py": "\n".join(f"ada|{line}" for line in BANK.splitlines()),
            "vouchers.py": "\n".join(f"ada|{line}" for line in vouchers.splitlines()),
            "copied.py": """
ada|CASH = 'cash'


ada?|def read_cards(path):
ada?|    if not Path(path).exists():
ada?|        return None
ada?|    return json.loads(Path(path).read_text())
""",
        }
    )


LOANS = """\
from datetime import timedelta

DAYS = { 'book': 28, 'film': 7, 'game': 14 }


def due_on(item, lent_on):
    return lent_on + timedelta(days = DAYS[item.kind])


def is_overdue(item, lent_on, today): return due_on(item, lent_on) < today
"""
FINES = """\
CENTS_A_DAY = { 'book': 20, 'film': 100 }


def fine_of(item, days_late, member):
    if member.is_child: return 0
    return min(days_late * CENTS_A_DAY.get(item.kind, 50), item.price_cents, member.limit_cents, CENTS_AT_MOST)


def reminder_for(member, fines):
    return f'{member.name} owes {sum(fines)} cents'
"""  # noqa: E501
CATALOGUE = """\
KINDS = [ 'book', 'film', 'game' ]


def find(shop, words, kind = None, member = None, limit = 50, is_lent = False, is_reserved = False):
    if kind not in KINDS: return []
    return [item for item in shop.items if item.kind == kind and all(word in item.title.casefold() for word in words)][:limit]
"""  # noqa: E501


@pytest.mark.promise("A5e")
def test_commits_are_formatted_afterwards_and_amended(day):
    with day.agent("loans") as loans, day.agent("fines") as fines:
        loans.asked("Lend things")
        fines.asked("Who is late pays")
        loans.writes("loans.py", LOANS)
        fines.writes("fines.py", FINES)
        loans.shell("git add loans.py && git commit -q -m 'Loans'")
        # nothing has formatted it yet: the formatter is run behind the commit, which is amended
        loans.shell(f"{shlex.quote(str(RUFF))} format --isolated -q loans.py")
        loans.edits("loans.py", '"game": 14}', '"game": 14, "map": 28}')
        loans.shell("git commit -q --amend --no-edit loans.py")
        loans.writes("catalogue.py", CATALOGUE)
        loans.shell("git add catalogue.py && git commit -q -m 'A catalogue'")
        fines.shell("git add fines.py && git commit -q -m 'Fines'")
    # Ada adds to what was committed, and formats it in a commit of its own
    day.ada.changes(
        "catalogue.py", "]\n\n\n", "]\n\n\ndef all_of(shop): return [ *shop.items ]\n\n\n"
    )
    day.ada.git("commit", "-q", "-m", "All of them", "catalogue.py")
    subprocess.run([RUFF, "format", "--isolated", "-q", day.top / "catalogue.py"], check=True)
    day.ada.git("commit", "-q", "-m", "Formatted", "catalogue.py")
    # from now on each commit is formatted, the one that Ada amends too
    formats_commits(day)
    day.ada.changes(
        "fines.py", "cents'\n", "cents'\n\n\nCENTS_AT_MOST = { 'a day': 500 }['a day']\n"
    )
    day.ada.git("commit", "-q", "-a", "--amend", "-m", "Fines, at most 5 euros")
    day.judge(
        {
            "loans.py": """
loans|from datetime import timedelta

loans|DAYS = {"book": 28, "film": 7, "game": 14, "map": 28}


loans|def due_on(item, lent_on):
loans|    return lent_on + timedelta(days=DAYS[item.kind])


loans|def is_overdue(item, lent_on, today):
loans|    return due_on(item, lent_on) < today
""",
            "catalogue.py": """
loans|KINDS = ["book", "film", "game"]


ada  |def all_of(shop):
ada  |    return [*shop.items]


loans|def find(
loans|    shop, words, kind=None, member=None, limit=50, is_lent=False, is_reserved=False
loans|):
loans|    if kind not in KINDS:
loans|        return []
loans|    return [
loans|        item
loans|        for item in shop.items
loans|        if item.kind == kind and all(word in item.title.casefold() for word in words)
loans|    ][:limit]
""",
            "fines.py": """
fines|CENTS_A_DAY = {"book": 20, "film": 100}


fines|def fine_of(item, days_late, member):
fines|    if member.is_child:
fines|        return 0
fines|    return min(
fines|        days_late * CENTS_A_DAY.get(item.kind, 50),
fines|        item.price_cents,
fines|        member.limit_cents,
fines|        CENTS_AT_MOST,
fines|    )


fines|def reminder_for(member, fines):
fines|    return f"{member.name} owes {sum(fines)} cents"


ada? |CENTS_AT_MOST = {"a day": 500}["a day"]
""",
        }
    )


MEMBERS = """\
LEVELS = ("", "bronze", "silver", "gold")

# how a member begins


def is_member(person):
    return person.number in PEOPLE


# how a member ends


def is_gone(person):
    return person.left_on is not None
"""
JOIN = """\


def join(person, today):
    PEOPLE[person.number] = person
    person.joined_on = today
"""
LEAVE = """\


def leave(person, today):
    person.left_on = today
    del PEOPLE[person.number]
"""


@pytest.mark.promise("A5e")
@pytest.mark.parametrize("is_whole", [True, False], ids=["a whole write", "two edits"])
def test_parts_of_a_file_are_committed_one_after_the_other(day, is_whole):
    day.ada.types({"members.py": MEMBERS})
    day.ada.commits("Members")
    with day.agent("members") as agent:
        agent.asked("People join and leave")
        if is_whole:
            text = MEMBERS.replace("begins\n", f"begins\n{JOIN}")
            agent.writes("members.py", text.replace("ends\n", f"ends\n{LEAVE}"))
        else:
            agent.edits("members.py", "begins\n", f"begins\n{JOIN}")
            agent.edits("members.py", "ends\n", f"ends\n{LEAVE}")
    # Ada commits the first hunk, then something urgent without the second
    words = ["git", "add", "-p", "members.py"]
    options = {"cwd": day.top, "env": day.ada.env, "check": True, "capture_output": True}
    subprocess.run(words, input=b"y\nn\n", **options)
    day.ada.git("commit", "-q", "-m", "People join")
    day.ada.git("stash", "-q")
    day.ada.changes("members.py", '("", "bronze"', '("none", "bronze"')
    day.ada.commits("A member has a level")
    day.ada.git("stash", "pop", "-q")
    day.ada.commits("People leave")
    day.judge(
        {
            "members.py": """
ada    |LEVELS = ("none", "bronze", "silver", "gold")

ada    |# how a member begins


members|def join(person, today):
members|    PEOPLE[person.number] = person
members|    person.joined_on = today


ada    |def is_member(person):
ada    |    return person.number in PEOPLE


ada    |# how a member ends


members|def leave(person, today):
members|    person.left_on = today
members|    del PEOPLE[person.number]


ada    |def is_gone(person):
ada    |    return person.left_on is not None
"""
        }
    )


CRATES = "def crates_of(order):\n    return [box for box in order.boxes if box.is_crate]\n"
PALLETS = "\n\ndef pallets_of(order):\n    return order.total_weight_kg // PALLET_WEIGHT_KG + 1\n"


@pytest.mark.promise("A5e")
def test_a_session_edits_a_second_repository_and_commits_there(day):
    depot, attic = (day.repository(day.folder / name) for name in ("depot", "attic"))
    day.ada.types({"depot.py": "PALLET_WEIGHT_KG = 400  # as the forklift says\n"}, depot)
    day.ada.commits("The forklift", depot)
    day.ada.types({"old.py": "OLD_PALLETS = 12  # nobody counts them\n"}, attic)
    day.ada.commits("The attic", attic)
    with day.agent("s-far") as agent:
        agent.asked("Tidy the shop")
        agent.writes("shop.py", "SHELVES_IN_THE_SHOP = 40\n")
        agent.asked("Count crates in the depot")
        agent.reads(str(attic / "old.py"))
        agent.writes(str(depot / "crates.py"), CRATES)
        agent.shell(f"git -C {depot} add crates.py && git -C {depot} commit -q -m Crates")
        # whoever asks there has not asked in the session's own repository before
        assert {(one.owner, one.ask) for one in day.told("crates.py", depot)} == {
            ("s-far", "Count crates in the depot")
        }
        commit = day.ada.git("rev-parse", "HEAD", root=depot)
        assert "by claude-code in session s-far" in warm("why", commit, cwd=depot, env=day.env).out
        agent.asked("And the pallets")
        agent.edits(str(depot / "depot.py"), "says\n", f"says\n{PALLETS}")
    day.ada.commits("By hand", depot)
    drawn = "\n".join(f"s-far|{line}" for line in PALLETS.splitlines())
    day.judge({"depot.py": f"ada?|PALLET_WEIGHT_KG = 400  # as the forklift says\n{drawn}"}, depot)
    assert day.told("depot.py", depot)[-1].ask == "And the pallets"
    assert [event.header.source for event in events(log_in(attic))] == ["git"]
    assert warm("unfinished", "--json", cwd=depot, env=day.env).json["unfinished"] == []
    assert [one.owner for one in day.told("shop.py")] == ["s-far"]
