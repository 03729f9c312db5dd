"""What the bot says without asking the model, in the languages that it has words for; in all others it speaks English."""

from dataclasses import dataclass
from typing import Final

from campaigns.call import Disposition


@dataclass(frozen=True, slots=True)
class Phrases:
    """The house's words in one language."""

    still_there: str
    not_heard: str  # we heard the contact speak, and understood no words
    one_moment: str  # the answer takes longer than a person waits in silence
    fell_silent: str
    nobody_there: str
    out_of_time: str
    handing_over: str
    not_noted: str  # they want no more calls, and the dialer could not be told
    apology: str  # recorded in bot/clips: no provider has to speak it
    unknown_caller: str  # the greeting of somebody who rings us, and of whom we know nothing
    goodbyes: dict[Disposition, str]


_ENGLISH: Final = Phrases(
    still_there="Hello, are you still there?",
    not_heard="I am sorry, I did not catch that. Could you say it again?",
    one_moment="One moment, please.",
    fell_silent="I will let you go. Goodbye.",
    nobody_there="I cannot hear anybody. Goodbye.",
    out_of_time="I have to go now. Goodbye.",
    handing_over="One moment, I will put you through.",
    not_noted="I am sorry, I could not have that noted now. Please tell us once more when we talk next. Goodbye.",
    apology="We are sorry. We have a technical problem, and must end this call. Goodbye.",
    unknown_caller="Hello, this is an automated assistant. We may have tried to call you. How can I help you?",
    goodbyes={
        Disposition.COMPLETED: "Thank you. Goodbye.",
        Disposition.CALLBACK: "Thank you, we will call you again. Goodbye.",
        Disposition.DO_NOT_CALL: "Understood. You will not be called again. Goodbye.",
        Disposition.WRONG_NUMBER: "I am sorry for the disturbance. Goodbye.",
    },
)

_PHRASES: Final = {
    "en": _ENGLISH,
    "de": Phrases(
        still_there="Hallo, sind Sie noch da?",
        not_heard="Entschuldigung, das habe ich nicht verstanden. Können Sie es wiederholen?",
        one_moment="Einen Moment, bitte.",
        fell_silent="Dann will ich nicht länger stören. Auf Wiederhören.",
        nobody_there="Ich höre leider niemanden. Auf Wiederhören.",
        out_of_time="Ich muss leider Schluss machen. Auf Wiederhören.",
        handing_over="Einen Moment, ich verbinde Sie.",
        not_noted="Es tut mir leid, ich konnte das jetzt nicht vermerken lassen. Bitte sagen Sie es uns beim nächsten Mal noch einmal. Auf Wiederhören.",
        apology="Entschuldigung. Wir haben ein technisches Problem und müssen das Gespräch beenden. Auf Wiederhören.",
        unknown_caller="Guten Tag, hier ist ein automatischer Assistent. Vielleicht haben wir versucht, Sie zu erreichen. "
        "Wie kann ich helfen?",
        goodbyes={
            Disposition.COMPLETED: "Vielen Dank. Auf Wiederhören.",
            Disposition.CALLBACK: "Danke, wir rufen Sie wieder an. Auf Wiederhören.",
            Disposition.DO_NOT_CALL: "Verstanden. Wir rufen Sie nicht mehr an. Auf Wiederhören.",
            Disposition.WRONG_NUMBER: "Entschuldigen Sie die Störung. Auf Wiederhören.",
        },
    ),
    "es": Phrases(
        still_there="¿Hola, sigue usted ahí?",
        not_heard="Perdone, no le he entendido. ¿Puede repetirlo?",
        one_moment="Un momento, por favor.",
        fell_silent="No le molesto más. Adiós.",
        nobody_there="No oigo a nadie. Adiós.",
        out_of_time="Tengo que despedirme. Adiós.",
        handing_over="Un momento, le paso.",
        not_noted="Lo siento, no he podido anotarlo ahora. Por favor, díganoslo otra vez la próxima vez. Adiós.",
        apology="Lo sentimos. Tenemos un problema técnico y debemos terminar la llamada. Adiós.",
        unknown_caller="Hola, soy un asistente automático. Es posible que le hayamos llamado. ¿En qué puedo ayudarle?",
        goodbyes={
            Disposition.COMPLETED: "Gracias. Adiós.",
            Disposition.CALLBACK: "Gracias, le volveremos a llamar. Adiós.",
            Disposition.DO_NOT_CALL: "Entendido. No volveremos a llamarle. Adiós.",
            Disposition.WRONG_NUMBER: "Disculpe la molestia. Adiós.",
        },
    ),
    "fr": Phrases(
        still_there="Allô, vous êtes toujours là ?",
        not_heard="Pardon, je n'ai pas compris. Pouvez-vous répéter ?",
        one_moment="Un instant, s'il vous plaît.",
        fell_silent="Je ne vous dérange pas plus longtemps. Au revoir.",
        nobody_there="Je n'entends personne. Au revoir.",
        out_of_time="Je dois vous laisser. Au revoir.",
        handing_over="Un instant, je vous mets en relation.",
        not_noted="Je suis désolé, je n'ai pas pu le faire noter maintenant. Dites-le-nous encore la prochaine fois, s'il vous plaît. Au revoir.",
        apology="Nous sommes désolés. Nous avons un problème technique et devons mettre fin à cet appel. Au revoir.",
        unknown_caller="Bonjour, je suis un assistant automatique. Nous avons peut-être essayé de vous joindre. "
        "Comment puis-je vous aider ?",
        goodbyes={
            Disposition.COMPLETED: "Merci. Au revoir.",
            Disposition.CALLBACK: "Merci, nous vous rappellerons. Au revoir.",
            Disposition.DO_NOT_CALL: "C'est entendu. Nous ne vous appellerons plus. Au revoir.",
            Disposition.WRONG_NUMBER: "Excusez-nous pour le dérangement. Au revoir.",
        },
    ),
}


LANGUAGES: Final = tuple(_PHRASES)


def phrases(language: str) -> Phrases:
    """Return the house's words in a language (two letters), or in English."""
    return _PHRASES.get(language[:2].lower(), _ENGLISH)
