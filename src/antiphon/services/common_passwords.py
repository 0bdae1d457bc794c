"""The passwords everybody tries first, of those that are long enough to be one."""

from __future__ import annotations

from typing import Final

_TEXT: Final = """
!qaz2wsx 01234567 0123456789 11223344 112233445566 123123123 12341234 12345678 123456789 1234567890
12345678910 1234abcd 1234qwer 123qwe123 12qwaszx 1q2w3e4r 1q2w3e4r5t 1qaz!qaz 1qaz2wsx 1qaz@wsx
1qazxsw2 87654321 987654321 9876543210 a1234567 a12345678 a123456789 a1b2c3d4 aa123456 abc12345
abc123456 abcd1234 abcdefgh abcdefghi access14 admin123 admin1234 admin12345 admin@123 adminadmin
administrator alexander andrew123 angel123 anthony1 antiphon antiphon1 antiphon123 arsenal1 asdf1234
asdfasdf asdfghjk asdfghjkl ashley123 asshole1 autumn2024 autumn2025 azertyuiop babygirl babygirl1
barcelona baseball baseball1 basketball batman123 beautiful benjamin bigdaddy blessed1 blink182
butterfly change-me change_me changeme changeme1 changeme123 charlie1 charlotte chatgpt123
cheesecake chelsea1 chocolate christian cocacola computer contrasena corvette danielle default1
dragon123 elizabeth facebook ferrari1 football football1 forever1 freedom1 friends1 fuckyou1
fuckyou123 godisgood goodluck google123 groq1234 guest123 guest1234 hello123 hello1234 helloworld
hunter123 iloveu123 iloveyou iloveyou1 iloveyou2 instagram internet isabella jennifer jessica1
jesus123 jesuschrist jonathan jordan23 joshua123 letmein1 letmein123 linkedin1 liverpool lovelove
lovely12 loveyou1 manchester master12 master123 matthew1 mercedes michael1 michelle minecraft
monkey123 motdepasse mustang1 myspace1 naruto123 nicole123 ollama123 openai123 p@55word p@ssw0rd
p@ssword pa$$w0rd pa$$word pa55w0rd pa55word pass1234 pass12345 passpass passw0rd passw0rd1 password
password! password1 password12 password123 password1234 password2 passwort passwort1 pokemon1
princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsx123 qazwsxedc qwer1234 qwert123 qwert1234 qwerty12
qwerty123 qwerty1234 qwertyui qwertyuiop qwertzuiop realmadrid root1234 samantha samsung1 secret12
secret123 senha123 shadow123 snowball spiderman spring2024 spring2025 starwars strawberry summer2023
summer2024 summer2025 sunflower sunshine sunshine1 superman sweetheart temp1234 temppass test1234
test12345 testing1 testing123 testtest toor1234 topsecret trustno1 user1234 victoria welcome1
welcome123 welcome@123 whatever william1 winter2023 winter2024 winter2025 yamaha123 zaq12wsx
zaq1zaq1 zxcasdqwe zxcvbnm1 zxcvbnm123
"""

COMMON: Final = frozenset(_TEXT.split())
