"""The forms of secrets that the built-in rules find, and what they leave alone."""

import re
import time
from pathlib import Path

import pytest
from tests.house.tree import ROOT
from tests.tiers import tenth

from thence.core.secrets import Masking, SecretRules

MASKING = Masking(SecretRules())
TAIL = "0123456789abcdefABCDEF" * 3

# « and » stand around what must go; all else must stay. The first forty were put into the prompts
# of agents, as they print files and call programs; they are put together, so that no scanner takes
# this file for a leak.
FORMS = (
    # assignments whose values password managers make
    "password=«My$ecret(2024)Long»",
    "DB_PASSWORD=«pa$$word1234567»",
    "password='«x&Yz1234567890»'",
    "token=«abc[def]1234567»",
    "password=«correcthorse»",
    'password="«correct horse battery»"',
    "password = '«a \"b\" c 123»' # old",
    # names
    "SECRET_KEY='«django-insecure-abc»'",
    "SECRET_KEY_BASE=«abcdefabcdef»",
    "ENCRYPTION_KEY=«correcthorsebattery»",
    "SIGNING_KEY: «c2lnbmluZzEyMw==»",
    "STRIPE_KEY=«abcdef123456»",
    "Endpoint=x;AccountKey=«abcdefgh0123==»;EndpointSuffix=core",
    "key=«0123456789abcdef0123»",
    "DB_PASS=«hunter2hunter2»",
    "SMTP_PASS: '«hunter2 hunter2»'",
    "api-key: '«abc12345»'",
    "apiKey: «abc123456789»",
    "export GITHUB_TOKEN=«abcdefghijklm»",
    "docker run -e DB_PASSWORD=«correct-horse» image",
    'docker run -e "DB_PASSWORD=«correct-horse»" image',
    "java -Ddb.password=«correcthorse» -jar x.jar",
    # behind a colon
    "password: «correcthorsebattery»",
    "  password: «hunter2hunter2»",
    "the token: «abc12345»",
    'x {"token": "«abcdefg8»"}',
    # JSON in JSON
    '{\\"password\\": \\"«hunter2hunter2»\\"}',
    '{"a": "{\\\\\\"token\\\\\\": \\\\\\"«it\\\\\\\\\\\\\\"s 123»\\\\\\"}"}',
    # other forms
    "mysql --password «hunter2hunter2» db",
    "x --token «abc12345» y",
    "x --password=«correcthorse» y",
    "'password' => '«hunter2hunter2»'",
    "<password>«hunter2hunter2»</password>",
    '{"name":"DB_PASSWORD","value":"«hunter2hunter2»"}',
    "- name: DB_PASSWORD\n  value: «hunter2hunter2»",
    "postgres://admin:«Sup3rS3cretU1»@db/prod",
    "Authorization: Bearer «abcdefghijkl»",
    "-H 'Authorization: Basic «YWRhOmh1bnRlcjI=»'",
    "curl -u ada:«hunter2hunter2» https://a.example",
    "h" + "f_«»" + TAIL[:34],
    # neighbours
    "n" + "pm_«»" + TAIL[:36],
    "py" + "pi-«»AgEIcHlwaS5vcmc" + TAIL,
    "S" + "G.«»" + TAIL[:22] + "." + TAIL[:43],
    "https://hooks.slack." + "com/services/«T0123ABCD/B0123ABCD/abcdefABCDEF0123456789ab»",
    "os.environ['DB_PASSWORD'] = '«hunter2hunter2»'",
    'password := "«hunter2hunter2»"',
    "https://a.example/?token=«abc123def456»&user=ada",
    "https://x.example/a?user=ada&access_token=«abcdef123456»#top",
    "redis://:«hunter2hunter2»@cache:6379/0",
    "amqp://u:«p@ss»@mq",
    "> Authorization: Bearer «abcdefghijkl»",
    '"Authorization": "token «abcdefghijkl»"',
    "Proxy-Authorization: Basic «YWRhOmh1bnRlcjI=»",
    "used Bearer «abcdef0123456789abcdef» there",
    "+DB_PASSWORD=«correcthorse»",
    "wget --user=ada --password=«correcthorse» x",
    "  - DB_PASSWORD=«correct-horse»",
    "PGPASSWORD=«correcthorse» psql",
    "A=1\nAPI_TOKEN=«x{y}z(1)&2»\nB=2",
    '{"key": "DB_PASSWORD", "value": "«hunter2hunter2»"}',
    "dck" + "r_pat_«»" + TAIL[:27],
    "xap" + "p-«»1-A0123-4567-" + TAIL,
    "gs" + "k_«»" + TAIL[:52],
    # a placeholder is one as a whole
    'password="«*Kq8vT2mXw9Lk4Rb7Np»"',
    "API_TOKEN=«<Zq8vT2mXw9Lk4Rb7Np»",
    'api_key="«{Zq8vT2mXw9Lk4Rb7N»"',
    "--password=«$(Kq8vT2mXw9Lk4Rb7Np»",
    "postgres://ada:«%7BKq8vT2mX»@db/prod",
    "DB_PASSWORD='«a'\\''b$12345»' x",
    "password: '«it''s 12345»'",
    # other ways to assign
    'password = """«hunter2 hunter2»"""',
    "password = '''«hunter2\nhunter2»'''\nuser = '''ada'''",
    "**Password:** «hunter2hunter2»",
    "**API token**: `«hunter2hunter2»`",
    "API_TOKEN ?= «correcthorse»",
    'password: str = "«hunter2hunter2»"',
    'const password: string = "«hunter2hunter2»";',
    'token: Optional[str] = "«hunter2hunter2»"',
    "curl -uada:«hunter2hunter2» https://a.example",
    "curl -su ada:«hunter2hunter2» https://a.example",
    "API_TOKEN\x1b[0m=\x1b[32m«hunter2hunter2»\x1b[0m",
    "DB_PASSWORD_PROD=«correcthorse»",
    "API_KEY_STAGING: «abc123456789»",
    'SECRET_2="«hunter2hunter2»"',
    "X-Auth-Token: «Kq.vT(mXw,Lk-Rb)Np»",
    # other places
    "machine a.example login ada password «hunter2»",
    "machine a.example\n  login ada\n  password «hunter2»",
    "db.example:5432:*:ada:«hunter2»",
    "*:*:*:ada:«hunter2»",
    "mysql -h db -uroot -p«hunter2» shop",
    "mariadb-dump -p'«hunter 2»' shop",
    "sshpass -p «hunter2» ssh db",
    "sshpass -p'«hunter 2»' ssh db",
    "cat > .env <<EOF\nDB_PASSWORD=«correcthorse»\nEOF",
    '{"auths": {"a.example": {"auth": "«YWRhOmh1bnRlcjI=»"}}}',
    "//a.example/:_auth=«YWRhOmh1bnRlcjI=»",
    "client-key-data: «" + "LS0tLS1C" + "RUdJTiBQUklWQVRFIEtFWS0tLS0t" + TAIL[:40] + "==»",
    "LS0tLS1C" + "RUdJTiBSU0EgUFJJVkFURSBLRVkt«»" + TAIL[:40],
    # other services
    "wh" + "sec_«»" + TAIL[:32],
    "do" + "p_v1_«»" + "0123456789abcdef" * 4,
    "shp" + "at_«»" + "0123456789abcdef" * 2,
    "S" + "K«»" + "0123456789abcdef" * 2,
    "M" + "TIzNDU2Nzg5MDEyMzQ1Njc4«».Gabcde." + TAIL[:38],
    "«»1234567890:A" + "A" + TAIL[:33],
    "AGE-SECRET" + "-KEY-1«»" + "0123456789ABCDEFGHIJ" * 3,
)
# the rules name the form, and leave these: a name, a path, a call, what stands for a value
HARMLESS = (
    "sorted(rows, key=sort_key)",
    "sorted(rows, key=lambda row: row.name)",
    "    token=token_of_user,",
    "x = Client(token=settings.api.token, secret=read_secret(path))",
    "password = get_password(user)",
    "password = config['password']",
    "def f(token: TokenOfUser, key: bytes) -> None:",
    "signing_key: crypto.PrivateKey",
    "password: unchanged since yesterday",
    "password: required for each user",
    "PASSWORD=$PASSWORD and TOKEN=<your token>",
    'password: "${DB_PASSWORD}"',
    'token = f"{head}.{body}"',
    "password: '{{ vault_password }}'",
    "api_key = 'your-api-key'",
    "headers = {'Authorization': f'Bearer {token}'}",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    "the bearer of this letter, Basic instructions",
    "PWD=/srv/shop/project\nOLDPWD=/srv/shop",
    "--- PASS: TestOfSomething12 (0.00s)",
    "bypass: 12345678",
    "--password-file /run/secrets/db",
    "--token TOKEN",
    "chown --user www-data:www-data x",
    "docker run -u 1000:1000 image",
    "https://user:password@host/path",
    "https://$USER:$PASSWORD@host/path",
    "git@github.com:thence/thence.git",
    "http://127.0.0.1:8000/a@b",
    "PUBLIC_KEY=0123456789abcdef",
    "primary_key: 0123456789abcdef",
    "cache_key='orders/2026'",
    "monkey=0123456789abcdef",
    "DB_PASSWORD=\nDB_HOST=localhost1",
    "max_tokens: 12345678",
    "password=short",
    # placeholders, each as a whole
    "password: <your-password>",
    'password = "<your password>"',
    'token = "{token}"',
    'token = "{settings.api.token}"',
    'password = "**********"',
    'password = "$DB_PASSWORD"',
    "export TOKEN=${TOKEN:-none}",
    "TOKEN=${{ secrets.API_TOKEN }}",
    "TOKEN=$(kubectl get secret api -o yaml)",
    "token=xxxxxxxxxxxx",
    "https://ada:${PASSWORD}@host/path",
    "curl -u ada:$PASSWORD_2 https://a.example",
    "mysql -p -h db",
    "mysql -p$PASSWORD",
    "machine a.example login ada password <password>",
    # words of prose and code
    "token = base64.b64encode(digest)",
    "token = self.tokens[start:].pop()",
    "password: Optional[bytes],",
    "        token = Name.Builtin.Pseudo",
    "private_key: rsa.RSAPrivateKey,",
    'if password=="abcdefgh": pass',
    "the machine learning token is masked",
    "discord is a word, SK and MT are letters",
    '{"auth": "basic123"}',
    "LS0tLS1C" + "RUdJTiBDRVJUSUZJQ0FURS0tLS0t",
    "PASSWORD_FILE=/run/secrets/db1",
)


def parts(form: str) -> tuple[str, str]:
    """Return a form without its marks, and as it is when its secret is masked."""
    text = form.replace("«", "").replace("»", "")
    if "«»" in form:  # what a service's token begins with is a part of it
        return text, "[redacted]"
    return text, re.sub("«[^»]*»", "[redacted]", form)


def masked(text: str) -> str:
    return re.sub(r"\[redacted: [a-z-]+\]", "[redacted]", MASKING.text(text))


@pytest.mark.promise("S10b")
@pytest.mark.parametrize("form", FORMS)
def test_secret_of_each_form_goes_and_all_around_it_stays(form: str) -> None:
    text, expected = parts(form)
    assert masked(text) == expected
    # amid the output of a program, and as a text of JSON that another text holds
    assert masked(f"$ cat x\n{text}\n$ ") == f"$ cat x\n{expected}\n$ "


def test_name_that_is_written_with_escapes_is_read_and_shown_without_them() -> None:
    assert masked('{"pass\\u0077ord":"hunter2hunter2"}') == '{"password":"[redacted]"}'
    assert MASKING.text('{"pass\\u0077ord":"short"}') == '{"pass\\u0077ord":"short"}'


@pytest.mark.parametrize("text", HARMLESS)
def test_text_that_names_no_secret_stays(text: str) -> None:
    assert MASKING.text(text) == text
    assert MASKING.text(f"a\n{text}\n") == f"a\n{text}\n"


@pytest.mark.parametrize(
    "payload",
    [
        {"name": "DB_PASSWORD", "value": "hunter2hunter2"},
        {"value": "hunter2hunter2", "key": "DB_PASSWORD"},
        {"env": [{"name": "STRIPE_KEY", "value": "abc hunter2hunter2".replace(" ", "")}]},
        {"DB_PASS": "hunter2hunter2"},
        {"secret_key": "hunter2hunter2"},
        {"STRIPE_KEY": "hunter2hunter2"},
        {"headers": {"Authorization": "hunter2hunter2"}},
    ],
)
def test_value_beside_the_name_of_a_secret_goes(payload: dict[str, object]) -> None:
    from thence.core.vocabulary import PLAIN

    assert "hunter2" not in str(MASKING.payload(payload, PLAIN))


def test_rules_raise_no_false_alarm_on_this_projects_own_files() -> None:
    # what shows secrets, or forms of them, on purpose
    table = {
        "docs/guides/operate/keep-secrets-out.md",
        "docs/guides/team/run-a-team-server.md",
        "SECURITY.md",
    }
    lines, alarms = 0, []
    for path in (*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")):
        name = str(Path(path).relative_to(ROOT))
        text = path.read_text("utf-8")
        lines += text.count("\n")
        if name in table:
            continue
        alarms += [
            f"{name}: {text[max(0, begin - 40) : begin + 30]!r}"
            for begin, _, _ in SecretRules().spans(SecretRules().built_in, "", text)
        ]
    assert len(alarms) * 10_000 <= lines, "\n".join(alarms)


HOSTILE = (
    "token=", "token='", 'token=\\"', 'token="\\', "token: $", "DB_PASSWORD=(", "--password x",
    "<password>", '"name":"DB_PASSWORD","value":', "://a:", "://a:b@", "://" + "a" * 200,
    "Authorization: Bearer ", "bearer a", "-u a:b", "key=a1", "x" * 300 + "KEY=",
    "\\" * 40 + "token" + "\\" * 14, "token" + "\\" * 15, 'token="${ token=\\"',
    "SG.aaaaaaaaaaaaaaaa", "pass" * 20 + "=", "token=a.b(c[", "'", '"', "{", "-", "token='a''",
    "token='\\''", "token='\"'\"'", 'token="""', 'token="""\\"', "token={", "token=${", "token={{ ",
    "token=<a ", "token=$(a ", "token: a.", "token: [(", "\ntoken: a(", "\n**token:** -",
    "token: str", "token: |\n a", "mysql ", "mysql -p", "machine a login b ", ":5432:a:b:", "MT",
    "SK0", "LS0tLS1C" + "RUdJTiBQUklW", "\\u0077", "token\x1b[0m", '"auth": "YTph',
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.whole
def test_time_of_a_text_made_to_be_slow_grows_with_its_length(piece: str) -> None:
    def took_s(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        began = time.thread_time()
        MASKING.text(text)
        return time.thread_time() - began

    short = tenth(131_072, 10_000)  # eight times of it are 1 MiB
    # eight times the length takes about eight times as long; a quadratic rule takes 64 times
    assert any(took_s(8 * short) < 24 * took_s(short) + 0.05 for _ in range(3))
