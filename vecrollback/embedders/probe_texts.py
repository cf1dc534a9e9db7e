"""The 64 fixed probe texts. Never edit one: recorded vectors belong to these very words.

The first 16 also serve as queries. The last 14 are long, from 90 to 2,500 words, so that every usual maximum
length cuts some of them and a changed maximum shows.
"""

from __future__ import annotations

_QUERIES = (
    "How do I reset my password?",
    "symptoms of vitamin D deficiency in adults",
    "What is the capital of Australia, and why is it not Sydney?",
    "postgres connection refused",
    "best way to cook lentils without soaking",
    "ERR_CONN_TIMEOUT 10.0.0.7:5432",
    "Wie beantrage ich einen neuen Reisepass?",
    "¿Cuál es la política de devoluciones?",
    "機械学習のモデルを更新する方法",
    "如何回滚数据库迁移",
    "كيف أغير كلمة المرور؟",
    "как отменить подписку",
    "refund",
    "invoice 2024-03-117 total amount due",
    "convolutional neural networks for protein folding",
    "Which of the two treaties was signed first, and who refused to sign it?",
)

_SHORT = (
    ".",
    " a ",
    "OK",
    "🚀🔥 launch day 🎉",
    "3.14159 2.71828 1.41421",
    "+49 (0)30 1234-5678",
    "https://example.org/docs/v2/search?q=vector&page=3#results",
    "SELECT id, text FROM documents WHERE seq > 42 ORDER BY seq;",
    "def add(a: int, b: int) -> int:\n    return a + b",
    'for (let i = 0; i < n; i++) { console.log("line " + i); }',
    '{"id": "doc-7", "tags": ["a", "b"], "score": 0.93, "deleted": false}',
    "# Heading\n\n- first point\n- second point\n\n> a quotation",
    "x² + y² = z², ∀ε>0 ∃δ>0, ∑ᵢ aᵢ ≤ ∞",
    "tabs\tand\nnew\r\nlines   and     spaces",
)

_FILE_STORE = (
    "The court held that the contract was void because neither party had agreed on the price.",
    "Mitochondria produce most of the chemical energy that a cell needs, in the form of ATP.",
    "Der Zug nach München fährt heute wegen einer Störung zwanzig Minuten später ab.",
    "La bibliothèque est fermée le lundi, sauf pendant les vacances scolaires.",
    "新しい駅は来年の春に開業する予定です。",
    "这家公司去年的收入增长了百分之十二。",
    "정부는 내일 새로운 교통 정책을 발표할 예정이다.",
    "تقع المدينة القديمة على ضفة النهر بين جبلين.",
    "יום ראשון הוא תחילת שבוע העבודה.",
    "यह पुस्तक भारत के इतिहास के बारे में है।",
    "ห้องสมุดเปิดให้บริการทุกวันจันทร์ถึงวันศุกร์",
    "Thư viện mở cửa từ tám giờ sáng đến năm giờ chiều.",
)

_RARE = (
    "Kütüphane pazartesi günleri kapalıdır; çocuk bölümü ise her gün açıktır.",
    "ქალაქი მდინარის ნაპირზე მდებარეობს.",
    "Քաղաքը գտնվում է գետի ափին։",
    "நூலகம் ஒவ்வொரு நாளும் திறந்திருக்கும்.",
    "patient presents w/ SOB, hx CHF, BNP 1240 pg/mL, EF 35%, started furosemide 40 mg IV",
    "AACGTTGCAAGTCCTAGGATCCA",
    "Ĥẽļłŏ wôřłđ — “quotes”, ‘apostrophes’, ellipsis… and a soft\u00adhyphen",
    "mixed 中文 and English और हिन्दी و العربية in one line 😀",
)

_LONG_WORDS = (90, 120, 150, 190, 230, 280, 340, 400, 480, 650, 760, 900, 1300, 2500)

_NOUNS = (
    "river archive engine harvest signal bridge garden treaty molecule carrier parliament compiler winter violin "
    "market glacier teacher sensor harbour ledger forest verdict planet bakery tunnel vaccine orchestra satellite"
)
_VERBS = "changed crossed measured followed opened repaired described carried refused counted joined replaced"
_ADJECTIVES = "old quiet northern careful broken public distant narrow expensive early hidden curious"


def _pick(words: str, state: int) -> str:
    choices = words.split()
    return choices[state % len(choices)]


def _sentence(number: int) -> str:
    """The number picks the words, so that no two parts of a long text are alike."""
    state = (number * 2_654_435_761) % 4_294_967_296
    first, second, third = (_pick(_NOUNS, state >> shift) for shift in (3, 9, 15))
    adjective, verb = _pick(_ADJECTIVES, state >> 5), _pick(_VERBS, state >> 11)
    return f"The {adjective} {first} {verb} the {second} near the {third} in year {1000 + state % 999}."


def _long(number: int, words: int) -> str:
    sentences = (_sentence(1000 * (number + 1) + i) for i in range(words // 12 + 2))
    return " ".join(" ".join(sentences).split()[:words])


PROBES: tuple[str, ...] = (
    *_QUERIES,
    *_SHORT,
    *_FILE_STORE,
    *_RARE,
    *(_long(number, words) for number, words in enumerate(_LONG_WORDS)),
)
QUERIES = len(_QUERIES)
