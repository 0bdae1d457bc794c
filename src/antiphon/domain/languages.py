"""A light guess at the language a text is written in, by its script and its commonest words.

It decides how words are stemmed, no more: a wrong guess costs some recall and nothing else. Languages
are ISO 639-1 codes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

MAX_CHARACTERS: Final = 8_000
"""How much of a text is looked at."""

MIN_SHARE: Final = 0.06
"""Share of the words that must be among a language's commonest before it is named. Running text has
0.25 to 0.5; a table of names or numbers has none."""

MIN_SCORE: Final = 2.0
"""About how many common words there must be at least."""

_RANGES: Final = (
    ("latin", 0x41, 0x24F),
    ("latin", 0x1E00, 0x1EFF),
    ("greek", 0x370, 0x3FF),
    ("greek", 0x1F00, 0x1FFF),
    ("cyrillic", 0x400, 0x52F),
    ("armenian", 0x531, 0x58F),
    ("hebrew", 0x591, 0x5F4),
    ("arabic", 0x600, 0x6FF),
    ("arabic", 0x750, 0x77F),
    ("devanagari", 0x900, 0x97F),
    ("tamil", 0xB80, 0xBFF),
    ("thai", 0xE01, 0xE5B),
    ("hangul", 0x1100, 0x11FF),
    ("kana", 0x3040, 0x30FF),
    ("han", 0x3400, 0x4DBF),
    ("han", 0x4E00, 0x9FFF),
    ("hangul", 0xAC00, 0xD7A3),
)

_BY_SCRIPT: Final = {
    "greek": "el",
    "armenian": "hy",
    "tamil": "ta",
    "thai": "th",
    "hangul": "ko",
    "kana": "ja",
    "han": "zh",
}

_COMMON: Final = {
    "en": (
        "the of and to in is that for it with as was on be by this are from at or an which have not has "
        "had but they his her you we"
    ),
    "de": (
        "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden "
        "aus er hat dass sie nach wird bei einer um am sind noch wie einem über so zum war haben nur oder "
        "aber vor zur bis mehr durch man ich"
    ),
    "nl": (
        "de het een van en in is dat op te zijn met voor niet aan er ook als door bij om naar uit wordt "
        "werd deze dit maar hij ze worden nog wel heeft kan tot hebben over meer geen ik je"
    ),
    "sv": (
        "och att det som en på är av för med till den har inte ett om han men var jag sig från vi så kan "
        "när år under också efter eller nu där vid mot ska skulle kommer ut får finns vara alla mycket"
    ),
    "da": (
        "og det at en den til er som på de med han af for ikke der var mig sig men et har om vi min havde "
        "ham hun nu over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil blev "
        "kunne efter når være af blive meget også"
    ),
    "no": (
        "og det at en den til er som på de med han av for ikke der var meg seg men et har om vi hadde hun "
        "nå over da fra du ut dem oss opp hans hvor eller hva skal selv her alle vil ble kunne etter når "
        "være ved også bare etter mot"
    ),
    "fi": (
        "ja on ei se että oli hän mutta ovat myös kun niin joka kuin tai olla mukaan hänen sen vuonna ole "
        "sekä jo siitä voi jos nyt vain sitä kanssa jälkeen mitä minä he ne tämä joka jotka itse"
    ),
    "et": (
        "ja on ei et see oli ka kui ta mis aga või siis nii oma seda selle ning kes mida välja olla ole "
        "veel nagu juba pole siin kõik üks pärast kuid tema nad mina saab väga"
    ),
    "fr": (
        "le la les de des du et en un une est que qui dans pour pas au sur par plus ce ne se il avec sont "
        "cette aux ou été son sa mais nous vous elle ont être ces leur comme je fait"
    ),
    "es": (
        "de la que el en y los del se las por un para con no una su al es lo como más pero sus le ya o "
        "este sí porque esta entre cuando muy sin sobre también me hasta hay donde han quien desde todo "
        "nos durante fue son está"
    ),
    "pt": (
        "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu "
        "sua ou quando muito nos já está eu também só pelo pela até isso ela entre depois são foi ser tem "
        "às pelos num"
    ),
    "it": (
        "di e il la che è un in per del una non le si da con dei sono al alla della i gli nel come più ma "
        "lo anche delle se nella ha dal questo ad o su essere cui tra degli molto sua dalla era ci questa "
        "perché io"
    ),
    "ca": (
        "de la i el que a en els les un per amb del una és no se al es va dels com més o seu però són per "
        "també aquest aquesta ha han si ja molt fins ser entre sobre quan pel tot perquè des hi"
    ),
    "ro": (
        "de și în a la cu pe nu este că o un din ce mai se care pentru sunt sau ca dar după fost prin al "
        "său ale lui fi au am ai cel cea să acest această către când fără i va era până"
    ),
    "eu": (
        "eta da ez du bat dira izan zen ere dute baina hau egin duen den oso zuen beste edo dago horrek "
        "baten batean dela nire gure guztiak hori berri bere ditu"
    ),
    "ga": (
        "agus an na is ar go i a le do ní ag sé sí bhí tá nach siad mar ach ó san faoi gur seo sin bí "
        "chun féin aon ann é iad leis trí bhfuil"
    ),
    "hu": (
        "a az és hogy nem is egy ez volt meg mint csak de már el van még ki ha vagy aki azt után lehet "
        "ezt azonban be kell sem minden volna pedig között szerint amely ami során a által majd"
    ),
    "id": (
        "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga saya ke karena tersebut bisa "
        "ada mereka lebih telah oleh sebagai adalah atau dia kami sudah orang tahun menjadi kita banyak "
        "harus seperti hanya dapat secara"
    ),
    "lt": (
        "ir yra kad į su iš ne bet tai buvo kaip jis o už apie nuo per jo dar tik ar kuris jau labai jie "
        "bus prie po savo taip pat gali būti šis kai jei mes iki ji dėl visi jos"
    ),
    "pl": (
        "w i z na do nie się że jest to o po jak ale za od oraz są przez dla był ma tego być co może tym "
        "które jego już tylko ich było czy jej który przy lub tak mi go także"
    ),
    "cs": (
        "a se v na je že s z do o to i ve ale po který od za jako jsou pro by byl být tak jeho však jen "
        "nebo až při bylo podle které mezi má také není jsem když ještě už"
    ),
    "tr": (
        "ve bir bu da de için ile çok olarak daha olan gibi ne var kadar sonra o ki değil en ise ama her "
        "veya şey göre olduğu tarafından ben bana mi mı nasıl oldu ilk iki diye yok içinde ancak"
    ),
    "eo": (
        "la kaj de en estas al ke ne por mi li kun tio pri sed oni ĝi estis kiu de sur ĝis iu tiu ankaŭ "
        "kiel ol pli ili nur sin el per post iĝis vi ni havas"
    ),
    "ru": (
        "и в не на что с он как по это а его но из для к за было от же все так она был у о то бы мы вы "
        "они только или ее если я уже при до также быть были который может есть еще после чтобы"
    ),
    "sr": (
        "и у је да се на за су од са који као не што то из би или али о до био није само он када због "
        "након због која које међу својој били ће може они те"
    ),
    "hi": (
        "के है में की और से का को पर यह एक ने हैं कि भी नहीं लिए था इस हो कर तो या जो थे साथ ही गया अपने "
        "वह किया करने होता उन बाद"
    ),
    "ne": (
        "र छ को मा का को लाई ले पनि यो हो छन् भएको एक गरेको गर्न भन्ने तर गर्ने थियो तथा हुने उनले भने "
        "साथै नेपाल गरी छैन त्यो हुन"
    ),
    "ar": (
        "في من على أن إلى التي عن ما هذا هذه كان الذي مع لا قد كما هو بين أو بعد ذلك كل هي لم حتى غير عند "
        "إن كانت ثم تم منذ أي وقد وهو"
    ),
    "fa": (
        "در به از که این را با است برای آن یک تا بر هم بود شد خود او می شده نیز اما هر وی کرد باید ما اگر "
        "یا پس دو"
    ),
    "he": "של את על הוא לא זה עם היא גם כי היה אל אני אם או אבל כל יותר מה רק אך בין לפני הם כדי אחרי",
    "yi": "די און אין פון איז צו דער דאס אז ער מיט אויף ניט האט נישט זיין אבער זיך א דעם עס וואס פאר האבן",
}

_LATIN: Final = (
    "en", "de", "nl", "sv", "da", "no", "fi", "et", "fr", "es", "pt", "it", "ca", "ro", "eu", "ga", "hu",
    "id", "lt", "pl", "cs", "tr", "eo",
)  # fmt: skip

_IN_SCRIPT: Final = {
    "latin": _LATIN,
    "cyrillic": ("ru", "sr"),
    "devanagari": ("hi", "ne"),
    "arabic": ("ar", "fa"),
    "hebrew": ("he", "yi"),
}

_OWN_LETTERS: Final = {
    code: frozenset(letters)
    for code, letters in {
        "cs": "ěřů", "de": "ß", "es": "ñ", "hu": "őű", "pl": "łśźżąę", "ru": "ыэё", "tr": "ğı",
        "be, uk": "іїєґў", "sr, mk": "јљњћђџѓќ",
    }.items()
}  # fmt: skip
"""Letters that none of the other languages has; of some, which exclude those, no language is guessed."""


def _languages_of(codes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the common words of languages, each with those it is common in."""
    found: dict[str, tuple[str, ...]] = {}
    for code in codes:
        for word in frozenset(_COMMON[code].split()):
            found[word] = (*found.get(word, ()), code)
    return found


_WORDS: Final = {script: _languages_of(codes) for script, codes in _IN_SCRIPT.items()}
_WORD: Final = re.compile(
    r"[^\W\d_]+(?:[\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963]+[^\W\d_]*)*"
)
_ASCII_WORD: Final = re.compile("[a-z]+")


def guess_language(text: str) -> str | None:
    """Name the language of a text, None if it cannot be told. Looks at the first 8,000 characters."""
    text = text[:MAX_CHARACTERS]
    if text.isascii():
        return _by_words(text, "latin")
    scripts = Counter(
        script for character, count in Counter(text).items() for script in (_script(character),) * count
    )
    letters = scripts.total() - scripts.pop("", 0)
    if not letters:
        return None
    if scripts["kana"] * 20 >= scripts["han"] + scripts["kana"] > letters // 3:
        return "ja"
    script = max(scripts, key=lambda name: scripts[name])
    return _BY_SCRIPT.get(script) or _by_words(text, script)


def _script(character: str) -> str:
    code = ord(character)
    if code < 0x41 or not (character.isalpha() or 0x900 <= code < 0xE5C):
        return ""
    return next((name for name, first, last in _RANGES if first <= code <= last), "")


def _by_words(text: str, script: str) -> str | None:
    """Score the languages of a script, in tenths of a common word.

    A single letter, which means something in several languages, counts little.
    """
    words = (_ASCII_WORD if text.isascii() else _WORD).findall(text.lower())
    if len(words) < MIN_SCORE and text.isascii():
        return None  # not even if all of them were common
    common, scores = _WORDS[script], dict[str, int]()
    counts = Counter(words)
    for word in common.keys() & counts.keys():
        weight = (3 if len(word) == 1 else 10) * counts[word]
        for code in common[word]:
            scores[code] = scores.get(code, 0) + weight
    most = max(scores.values(), default=0)
    if most >= 10 * max(MIN_SHARE * len(words), MIN_SCORE):
        return next(code for code in _IN_SCRIPT[script] if scores.get(code) == most)
    return None if text.isascii() else _by_letters(words, _IN_SCRIPT[script])


def _by_letters(words: Sequence[str], codes: Sequence[str]) -> str | None:
    """Return the only language whose own letters stand in a text that is too short for common words."""
    letters = frozenset().union(*words)
    found = [code for code, own in _OWN_LETTERS.items() if letters & own]
    return found[0] if len(found) == 1 and found[0] in codes else None
